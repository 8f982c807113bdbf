"""What every test runs under: JAX on the CPU, programs compiled in haste and kept in .cache/ from one run to the next."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before anything imports jax; the processes that tests start inherit it.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Most of a test's time goes into compiling: XLA's optimisations take five times as long as the same programs without them.
# With XLA_FLAGS="" JAX_DISABLE_MOST_OPTIMIZATIONS=0 in the environment, tests run what users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters")


@pytest.fixture(scope="session", autouse=True)
def one_device() -> None:
  """Lets jax look for devices before a test does so through a command that divides the CPU for all tests after it."""
  import jax

  assert len(jax.devices()) == 1


def needs(package: str) -> pytest.MarkDecorator:
  """A test that is passed over where an optional package is not installed."""
  return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def cpu_devices(count: int) -> dict[str, str]:
  """The environment variable with which a process sees `count` virtual CPU devices."""
  return {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"}


def run_apart(program: str, timeout: float) -> None:
  """Runs a Python program from the repository's root in a process of its own; what it raises fails the test."""
  done = subprocess.run(
    [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
  )
  assert done.returncode == 0, done.stdout + done.stderr


def error_without_ray(program: str, folder: Path) -> str:
  """What a Python program says on stderr where Ray is not installed; `folder` is empty and at its disposal."""
  (folder / "ray.py").write_text("raise ModuleNotFoundError(name='ray')")
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
  return subprocess.run(
    [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
  ).stderr


@pytest.fixture(scope="session")
def on_eight_devices() -> Callable[[str], str]:
  """Runs a Python program in a process of its own, where jax sees 8 virtual CPU devices; gives what it prints.

  Its own process, because the number of devices is fixed when jax starts, and more of them slow every other test.
  The program fails the test by raising: `on_eight_devices("from tests.runtime import sharded; sharded.check()")`.
  """

  def run(program: str) -> str:
    environment = {**os.environ, **cpu_devices(8)}
    done = subprocess.run(
      [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"the program on 8 devices failed:\n{done.stdout}{done.stderr}"
    return done.stdout

  return run
