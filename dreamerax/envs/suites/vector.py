"""A user's own VectorEnv of gymnasium: `vector:package.module:factory`. It steps all environments of a run at once.

The factory is called with `num_envs`, and with `seed` and `render_mode` where it has parameters of these names.
"""

import inspect
from typing import Any

from gymnasium.vector import AutoresetMode, VectorEnv

from dreamerax import own_code
from dreamerax.envs.base import EnvBatch, Environment
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.pictures import conversion_of
from dreamerax.envs.suites.spaces import Spaces
from dreamerax.envs.suites.vector_envs import VectorEnvs
from dreamerax.envs.whole import Alone

_MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)


def make(config: EnvConfig, seed: int, *, film: bool = False) -> Environment:
  """A VectorEnv of a single environment, as an Environment.

  Raises:
    ValueError: there is no such module or factory, or it takes or returns something else.
  """
  envs, spaces = _made(config, 1, seed, film=film)
  return Alone(VectorEnvs(envs, spaces, seed, name=config.task), config.task, spaces.declared)


def make_batch(config: EnvConfig, num_envs: int, seed: int, *, skip_nonfinite: bool, film: bool) -> EnvBatch:
  """`num_envs` environments as one VectorEnv, in this process.

  Raises:
    what `make` raises; ValueError: skip_nonfinite, as none of them can begin an episode by itself.
  """
  if skip_nonfinite:
    raise ValueError(
      f"nonfinite='skip': task={config.task!r} begins episodes of all its environments together, so that one that shows a "
      "number that is not finite cannot be begun anew; give --nonfinite stop"
    )
  envs, spaces = _made(config, num_envs, seed, film=film)
  conversion = conversion_of(spaces.spec, config, config.image_size)
  return VectorEnvs(envs, spaces, seed, name=config.task, conversion=conversion)


def check(task: str) -> None:
  """Raises ValueError: there is no such module or factory."""
  _find(task)


def names() -> tuple[str, ...]:
  """None: only their authors know them."""
  return ()


def _find(task: str) -> Any:
  factory = own_code.find(task, "task")
  if not callable(factory) or "num_envs" not in inspect.signature(factory).parameters:
    raise ValueError(
      f"task={task!r}: name a function that takes num_envs and returns a gymnasium.vector.VectorEnv of as many."
    )
  return factory


def _made(config: EnvConfig, num_envs: int, seed: int, *, film: bool) -> tuple[VectorEnv, Spaces]:
  """What the factory returns, and its spaces."""
  task, factory = config.task, _find(config.task)
  given = {"num_envs": num_envs, "seed": seed, "render_mode": "rgb_array" if film else None}
  parameters = inspect.signature(factory).parameters
  try:
    envs = factory(**{name: value for name, value in given.items() if name in parameters})
  except Exception as error:
    raise ValueError(f"task={task!r}: the factory raised {own_code.account(error)}") from error
  _check_made(envs, task, num_envs)
  spaces = (envs.single_observation_space, envs.single_action_space)
  return envs, Spaces(*spaces, name=task, float_images=config.float_images)


def _check_made(envs: Any, task: str, num_envs: int) -> None:
  if not isinstance(envs, VectorEnv):
    raise ValueError(
      f"task={task!r}: the factory returned {type(envs).__name__}; return a gymnasium.vector.VectorEnv, or name a "
      "factory of single environments as package.module:factory"
    )
  if envs.num_envs != num_envs:
    raise ValueError(f"task={task!r}: the factory returned {envs.num_envs} environments; it was asked for {num_envs}.")
  mode = envs.metadata.get("autoreset_mode")
  if mode not in _MODES:
    raise ValueError(
      f"task={task!r}: its metadata['autoreset_mode'] is {mode}: let it begin episodes by itself and say how: "
      "AutoresetMode.NEXT_STEP, or SAME_STEP with infos['final_obs']"
    )
