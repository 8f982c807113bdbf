"""Tasks of the DeepMind Control Suite as array programs: `mjx/<domain>_<task>`."""

import functools
import importlib.util

from dreamerax.envs.base import EnvBatch, Environment
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import check_listed
from dreamerax.envs.suites import dm_control
from dreamerax.envs.whole import Alone
from dreamerax.jitted.base import ArrayEnv
from dreamerax.jitted.batch import ArrayEnvs
from dreamerax.jitted.mjx.tasks.table import TASKS
from dreamerax.types import TRUE

PREFIX = "mjx/"
MAX_STEPS = 1000  # control steps of an episode, of every task


def make(config: EnvConfig, seed: int) -> Environment:
  """One of them. Raises ValueError: there is no such task or observation, or the extra is not installed."""
  envs = ArrayEnvs(_made(config), 1, seed, name=config.task, action_repeat=config.action_repeat)
  return Alone(envs, config.task, {})


def make_batch(config: EnvConfig, num_envs: int, seed: int, *, skip_nonfinite: bool, film: bool) -> EnvBatch:
  """`num_envs` of them as one array program. Errors are those of `make`."""
  env, repeat = _made(config), config.action_repeat
  return ArrayEnvs(env, num_envs, seed, name=config.task, action_repeat=repeat, skip_nonfinite=skip_nonfinite)


def check(task: str) -> None:
  """Raises ValueError: there is no such task (names the nearest), or the extra is not installed."""
  check_listed(
    _own_name(task), names(), prefix=PREFIX, of="not among those of mjx/", package="mujoco-warp", extra="batched"
  )


def names() -> tuple[str, ...]:
  """Lists its tasks; () where the extra is not installed."""
  installed = all(importlib.util.find_spec(package) for package in ("mujoco_warp", "warp"))
  return tuple(PREFIX + name for name in TASKS) if installed else ()


def _made(config: EnvConfig) -> ArrayEnv:
  check(config.task)
  size = config.image_size or dm_control.IMAGE_SIZE
  return _env(_own_name(config.task).removeprefix(PREFIX), size, config.observations)


def _own_name(task: str) -> str:
  """The suite's name of a task that the papers call otherwise, such as mjx/cup_catch."""
  name = task.removeprefix(PREFIX)
  return PREFIX + dm_control.ALIASES.get(name, name)


@functools.lru_cache(maxsize=16)  # its functions are pure, and programs of the same environment are compiled once
def _env(name: str, size: int, observations: tuple[str, ...]) -> ArrayEnv:
  # Imported here, because they need the extra.
  from dreamerax.jitted.mjx.env import MujocoEnv
  from dreamerax.jitted.mjx.host_physics import HostPhysics
  from dreamerax.jitted.mjx.model import load
  from dreamerax.jitted.mjx.renderer import Renderer
  from dreamerax.jitted.mjx.warp_calls import device
  from dreamerax.jitted.mjx.warp_physics import WarpPhysics

  loaded = load(name)
  sources = [observation.removeprefix(TRUE) for observation in observations]
  for source in sources:
    if source not in loaded.cameras and source not in loaded.observations:
      known = ", ".join((*loaded.cameras, *loaded.observations))
      raise ValueError(f"{PREFIX}{name} has no observation {source!r}: it has {known}.")
  task = TASKS[name](loaded.model, loaded.substeps)
  images = {source: loaded.cameras[source] for source in sources if source in loaded.cameras}
  renderer = Renderer(loaded.model, images, size, sky=loaded.cameras[dm_control.IMAGE]) if images else None
  physics = (WarpPhysics if device().is_cuda else HostPhysics)(loaded.model)
  return MujocoEnv(task, physics, renderer, observations, MAX_STEPS)
