"""Finds an OpenGL backend that draws MuJoCo's frames, by trying in another process before anything imports dm_control.

dm_control binds itself to a backend when it is imported, and where that backend is broken the import fails in ways that
explain nothing and cannot be taken back. A subprocess can fail without harm.
"""

import atexit
import ctypes
import functools
import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from dreamerax import die_with_parent

VARIABLE = "MUJOCO_GL"
DEVICE = "MUJOCO_EGL_DEVICE_ID"
BACKENDS = ("egl", "osmesa")
_PROBE_SECONDS = 120
_EGL_DEVICE_EXT = 0x322C  # EGL_EXT_device_query's name for a display's device
_PROBE = """
import json, sys, time
from dm_control import suite
physics = suite.load("cartpole", "balance", task_kwargs={"random": 0}).physics
frame = physics.render(64, 64, camera_id=0)
if not frame.any():
  sys.exit("the frame it drew is black")
frames = int(sys.argv[1])
start = time.perf_counter()
for _ in range(frames):
  physics.render(64, 64, camera_id=0)
seconds = time.perf_counter() - start
print(json.dumps(frames / seconds if frames else None))
"""
_begun: dict[str, subprocess.Popen[str]] = {}  # probes that `choose` has not asked for yet


class NoRenderer(RuntimeError):
  """No OpenGL backend works here; the message says what to install."""


class WrongDevice(RuntimeError):
  """Frames cannot be drawn, or are not drawn, on the graphics device that was asked for."""


@dataclass(frozen=True)
class BackendProbe:
  """The answer of a backend that was asked for a frame."""

  backend: str
  error: str | None  # None: it works
  frames_per_second: float | None = None  # of cartpole at 64×64, where measured


def probe(backend: str, frames: int = 0) -> BackendProbe:
  """Draws a frame in a new process, and then `frames` more against the clock."""
  return _answer(backend, _begin(backend, frames))


def choose_soon() -> None:
  """Begins to try what `choose` tries first, while this process does something else."""
  backend = os.environ.get(VARIABLE) or BACKENDS[0]
  if _begun or _bound() is not None:
    return
  _begun[backend] = _begin(backend)
  atexit.register(_forget_begun)


def _begin(backend: str, frames: int = 0) -> subprocess.Popen[str]:
  environment = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
  environment[VARIABLE] = backend
  command = ["-P", "-c", _PROBE, str(frames)]
  return die_with_parent.start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_free() -> bool:
  """Whether MuJoCo has no display to draw on here, and nobody has said how it is to draw."""
  return not any(os.environ.get(name) for name in (VARIABLE, "DISPLAY", "WAYLAND_DISPLAY"))


def choose_if_any() -> str | None:
  """Chooses as `choose` does; None where no backend works, which is no trouble before
  something is to be drawn."""
  try:
    return choose()
  except NoRenderer:
    return None


def _forget_begun() -> None:
  """Ends the probes that nobody has asked for."""
  for process in _begun.values():
    with process:
      process.kill()
  _begun.clear()


def _answer(backend: str, process: subprocess.Popen[str]) -> BackendProbe:
  with process:
    try:
      out, errors = process.communicate(timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
      process.kill()
      return BackendProbe(backend, f"no frame within {_PROBE_SECONDS} seconds")
  if process.returncode != 0:
    last = errors.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
    return BackendProbe(backend, last[0].strip())
  return BackendProbe(backend, None, json.loads(out.splitlines()[-1]))


@functools.cache
def choose() -> str:
  """The backend that this process draws with, tried once and left in the variable MUJOCO_GL for dm_control to read.

  A MUJOCO_GL that is already set is the only one tried; otherwise EGL (a graphics card, or software), then OSMesa.

  Raises:
    NoRenderer: none works. It says what each answered and what to install.
  """
  bound = _bound()
  if bound is not None:
    return bound  # Somebody imported dm_control before us; its choice cannot be changed any more.
  explicit = os.environ.get(VARIABLE)
  probes = []
  for backend in (explicit,) if explicit else BACKENDS:
    begun = _begun.pop(backend, None)
    probes.append(_answer(backend, begun) if begun else probe(backend))
    if probes[-1].error is None:
      os.environ[VARIABLE] = backend
      # It is dm_control that sets this one, and it refuses a value left by somebody who wanted another backend.
      os.environ.pop("PYOPENGL_PLATFORM", None)
      return backend
  raise NoRenderer(_advice(probes, explicit))


def _bound() -> str | None:
  """Returns the backend of dm_control in this process, where it was imported."""
  return getattr(sys.modules.get("dm_control._render"), "BACKEND", None)


def adopt(backend: str) -> None:
  """Binds this process to a backend that another one on this machine has tried; `choose` then tries nothing.

  Raises:
    WrongDevice: the backend cannot draw on the device that the variable MUJOCO_EGL_DEVICE_ID names.
  """
  os.environ[VARIABLE] = backend
  os.environ.pop("PYOPENGL_PLATFORM", None)
  try:
    importlib.import_module("dm_control._render")
  except RuntimeError as error:
    if DEVICE not in os.environ:
      raise
    raise WrongDevice(f"it cannot draw on graphics device {os.environ[DEVICE]} ({error}): mend workers.gpus") from error


def check_device() -> None:
  """Makes sure that this process draws on the graphics device that the variable MUJOCO_EGL_DEVICE_ID names, where it is set.

  Call it once the process is bound to a backend.

  Raises:
    WrongDevice: it draws on another one, or not by EGL.
  """
  wanted = os.environ.get(DEVICE)
  if wanted is None:
    return
  backend = sys.modules["dm_control._render"].BACKEND
  if backend != "egl":
    raise WrongDevice(f"device {wanted} was asked for, and {backend} draws on none: set {VARIABLE}=egl")
  found = _egl_device()
  if found != int(wanted):
    raise WrongDevice(
      f"frames are drawn on EGL's device {found}, and {wanted} was asked for: something imported dm_control before "
      f"{DEVICE} was set"
    )


def _egl_device() -> int | None:
  """Number, among EGL's devices, of the one whose display dm_control has opened."""
  from dm_control._render.pyopengl import egl_ext as egl
  from dm_control._render.pyopengl import egl_renderer

  signature = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p))
  query = signature(egl.eglGetProcAddress("eglQueryDisplayAttribEXT"))  # type: ignore[call-overload]
  device = ctypes.c_void_p()
  query(egl_renderer.EGL_DISPLAY, _EGL_DEVICE_EXT, ctypes.byref(device))
  devices = [ctypes.cast(each, ctypes.c_void_p).value for each in egl.eglQueryDevicesEXT()]
  return devices.index(device.value) if device.value in devices else None


def _advice(probes: list[BackendProbe], explicit: str | None) -> str:
  answers = "; ".join(f"{probe.backend}: {probe.error}" for probe in probes)
  unset = f" Or unset {VARIABLE}, which leaves nothing but {explicit} to try." if explicit else ""
  return (
    f"No OpenGL backend draws MuJoCo's frames here ({answers}). On Debian or Ubuntu, install software rendering with "
    f"`apt-get install libegl1 libgl1` (EGL needs both) or `apt-get install libosmesa6`.{unset}"
  )
