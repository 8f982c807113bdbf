"""Environments by name, one at a time or many at once. NumPy only: nothing here imports jax.

`dmc/<domain>_<task>` is the DeepMind Control Suite from pixels, `gym/<id>` a gymnasium environment as it is, and
`package.module:factory` a user's own.
"""

import difflib
from dataclasses import dataclass
from typing import Literal

from dreamerax.envs.base import EnvBatch, Environment, Step
from dreamerax.envs.check import check_env
from dreamerax.envs.dm_control import ALIASES, SHADOW_MAP, task_names
from dreamerax.envs.dm_control import PREFIX as DMC
from dreamerax.envs.dm_control import load as _load_dmc
from dreamerax.envs.vector import SerialEnvs, derive_seeds
from dreamerax.envs.wrappers import ActionRepeat

__all__ = ["EnvBatch", "EnvConfig", "Environment", "Step", "check_env", "make", "make_batch", "task_names"]

GYM = "gym/"


@dataclass(frozen=True)
class EnvConfig:
  """Which environment, and how it is shown."""

  task: str = "dmc/walker_walk"
  """dmc/<domain>_<task>, gym/<id> or package.module:factory."""
  action_repeat: int = 1
  """Simulator steps per agent step; rewards are summed over them."""
  image_size: int = 64
  """Side of the picture in pixels (dmc only)."""
  rendering: Literal["published", "balanced"] = "published"
  """published: every pixel as dm_control draws it. balanced: shadow map of 512, faster in software (dmc only)."""
  observations: tuple[str, ...] = ("image",)
  """image, and names of the task's own vectors, such as position (dmc only)."""

  def __post_init__(self):
    if self.action_repeat < 1:
      raise ValueError(f"action_repeat={self.action_repeat}: it must be at least 1.")
    if self.image_size < 1:
      raise ValueError(f"image_size={self.image_size}: it must be at least 1 pixel.")
    if self.rendering not in SHADOW_MAP:
      raise ValueError(f"rendering={self.rendering!r}: choose one of {', '.join(SHADOW_MAP)}.")
    if not self.observations:
      raise ValueError("observations is empty: name at least one, such as image.")


def make(config: EnvConfig, seed: int) -> Environment:
  """One environment. `seed` lies in [0, 2**32).

  Raises:
    ValueError: the task does not exist (the nearest names are given) or cannot be made.
    RuntimeError: a dmc task, and no rendering backend works here.
  """
  task = config.task
  if not 0 <= seed < 2**32:
    raise ValueError(f"seed={seed}: it must lie in [0, 2**32).")
  if task.startswith(DMC):
    _check_dmc(task)
    return _load_dmc(
      task,
      seed,
      action_repeat=config.action_repeat,
      image_size=config.image_size,
      rendering_quality=config.rendering,
      observations=config.observations,
    )
  if task.startswith(GYM):
    from dreamerax.envs import gymnasium  # takes a while to import, and is not always needed

    env = gymnasium.load(task, seed)
  elif ":" in task:
    from dreamerax.envs import custom

    env = custom.load(task, seed)
  else:
    raise ValueError(
      f"task={task!r} is neither dmc/<domain>_<task> nor gym/<id> nor package.module:factory.{_near(task)}"
    )
  return ActionRepeat(env, config.action_repeat) if config.action_repeat > 1 else env


def make_batch(config: EnvConfig, num_envs: int, seed: int) -> EnvBatch:
  """`num_envs` environments with seeds of their own, derived from `seed`.

  A user's own environment (`package.module:factory`) is first checked by `check_env`, on one that is thrown away.
  Raises what `make` raises.
  """
  seeds = derive_seeds(seed, num_envs)
  if ":" in config.task and not config.task.startswith(GYM):
    env = make(config, seed=0)
    try:
      check_env(env, steps=20)
    except ValueError as error:
      raise ValueError(f"task={config.task!r}: {error}") from error
    finally:
      env.close()
  return SerialEnvs([make(config, seed) for seed in seeds])


def _check_dmc(task: str) -> None:
  if task not in (*task_names(), *(DMC + alias for alias in ALIASES)):
    raise ValueError(f"task={task!r} is not in the DeepMind Control Suite.{_near(task)}")


def _near(task: str) -> str:
  """The nearest names, as a sentence."""
  near = difflib.get_close_matches(task if task.startswith(DMC) else DMC + task, task_names(), n=3, cutoff=0.5)
  return f" Did you mean {', '.join(near)}?" if near else " `dreamerax list` names the tasks."
