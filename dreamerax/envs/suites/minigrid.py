"""MiniGrid and BabyAI (Chevalier-Boisvert et al. 2023) as the agent sees them: `minigrid/MiniGrid-Empty-5x5-v0`."""

import warnings

import gymnasium

from dreamerax.envs.base import Environment
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import check_listed
from dreamerax.envs.suites.gymnasium import GymEnv

PREFIX = "minigrid/"
_TILE = 8  # side of a tile in pixels; the agent sees 7 × 7 of them, 56 pixels a side


def make(config: EnvConfig, seed: int) -> Environment:
  """Images alone: the mission, a text, is left out.

  Raises:
    ValueError: there is no such environment, or minigrid is not installed.
  """
  check(config.task)
  from minigrid import wrappers  # pyright: ignore[reportAttributeAccessIssue]

  env = gymnasium.make(config.task.removeprefix(PREFIX), disable_env_checker=True)
  shown = wrappers.ImgObsWrapper(wrappers.RGBImgPartialObsWrapper(env, tile_size=_TILE))
  return GymEnv(shown, name=config.task, seed=seed)


def check(task: str) -> None:
  """Raises ValueError: there is no such environment (names the nearest), or minigrid is not installed."""
  check_listed(task, names(), prefix=PREFIX, of="not of MiniGrid", package="minigrid", extra="minigrid")


def names() -> tuple[str, ...]:
  """Lists all that the package registers; () where it is not installed."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # pygame's, about what it imports
      import minigrid
  except ModuleNotFoundError:
    return ()
  gymnasium.register_envs(minigrid)
  return tuple(PREFIX + name for name in sorted(gymnasium.registry) if name.startswith(("MiniGrid-", "BabyAI-")))
