"""`dreamerax doctor`: what this machine has, what is wrong, and how to mend it."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dreamerax import checks
from dreamerax.commands.checks import Check, show
from dreamerax.envs.suites import rendering
from dreamerax.memory_limit import machine_memory

PACKAGES = ("jax", "jaxlib", "flax", "optax", "distrax", "orbax-checkpoint", "mujoco", "dm_control", "numpy")
_GIB = 2**30


@dataclass(frozen=True)
class Arguments:
  """Checks devices, rendering, memory, disk and versions. The exit status is 1 where something keeps training from working."""

  frames: int = 30
  """Frames drawn with each rendering backend to measure its speed."""

  def __post_init__(self):
    checks.at_least(1, self, "frames")


def run(arguments: Arguments) -> int:
  """Prints what was found; returns the exit status."""
  return show(diagnose(arguments.frames))


def diagnose(frames: int, packages: Sequence[str] = PACKAGES) -> Iterator[Check]:
  """Findings, in the order in which a run would stumble over them."""
  yield _system()
  yield from _packages(packages)
  yield _devices()
  yield from _renderers(frames)
  yield _memory()
  yield _disk()


def _system() -> Check:
  value = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} CPU cores"
  if platform.system() != "Linux":
    return Check("system", value, "only Linux is supported: use a Linux machine, WSL or a container", fatal=True)
  return Check("system", value)


def _packages(names: Sequence[str]) -> Iterator[Check]:
  for name in names:
    try:
      yield Check(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
      yield Check(name, "missing", f"run `make setup`, or `pip install {name}`", fatal=True)


def _devices() -> Check:
  try:
    import jax  # after the packages were checked
  except ImportError as error:
    return Check("devices", "none", f"jax cannot be imported: {error}", fatal=True)
  from dreamerax.ops.backend import explain_missing

  try:
    devices = jax.devices()
  except (AssertionError, RuntimeError) as error:
    return Check("devices", "none", explain_missing(error), fatal=True)
  value = f"{len(devices)} × {devices[0].device_kind} ({devices[0].platform})"
  if devices[0].platform == "cpu" and (shutil.which("nvidia-smi") or os.path.exists("/dev/nvidia0")):
    fix = "there is an NVIDIA card, but JAX runs on the CPU: `pip install 'dreamerax[gpu]'` (make setup EXTRAS=gpu)"
    return Check("devices", value, fix)
  return Check("devices", value)


def _renderers(frames: int) -> Iterator[Check]:
  probes = [rendering.probe(backend, frames) for backend in rendering.BACKENDS]
  any_works = any(probe.error is None for probe in probes)
  for probe in probes:
    name = f"rendering ({probe.backend})"
    if probe.error is None:
      yield Check(name, f"{probe.frames_per_second:.0f} frames/s (cartpole, 64x64 pixels, one process)")
    elif any_works:
      yield Check(name, "does not work; not needed, as another does")
    elif any(word in probe.error for word in ("No module named", "MjModel")):
      yield Check(name, probe.error, "dm_control and mujoco do not fit together: run `make setup`", fatal=True)
    else:
      fix = "install software rendering: `apt-get install libegl1 libgl1 libosmesa6`"
      yield Check(name, probe.error, fix, fatal=True)


def _memory() -> Check:
  total = machine_memory()
  value = f"{total / _GIB:.1f} GiB, of which replay takes at most {total / 4 / _GIB:.1f} GiB by default"
  if total < 4 * _GIB:
    return Check("memory", value, "less than 4 GiB: lower --replay.capacity and --num-envs")
  return Check("memory", value)


def _disk() -> Check:
  free = shutil.disk_usage(os.getcwd()).free
  value = f"{free / _GIB:.1f} GiB free here"
  if free < 2 * _GIB:
    return Check("disk", value, "less than 2 GiB free: choose another --logdir for checkpoints and videos")
  return Check("disk", value)
