"""Meta-World (Yu et al. 2020), tasks of a robot arm in pixels: `metaworld/door-open-v3`."""

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import check_listed
from dreamerax.envs.suites import rendering
from dreamerax.envs.suites.actions import BoxActions
from dreamerax.types import ArraySpec, EnvSpec

PREFIX = "metaworld/"
_SIZE = 64  # side of its picture in pixels, where no other is asked for
# The corner camera, moved towards the table as Seo et al. 2022 train on it (Masked World Models).
_CAMERA, _POSITION = "corner2", (0.75, 0.075, 0.7)


def make(config: EnvConfig, seed: int) -> Environment:
  """Pictures alone, at the size that is asked for.

  Raises:
    ValueError: there is no such task, or metaworld is not installed. NoRenderer: nothing draws here.
  """
  check(config.task)
  if rendering.is_free():
    rendering.choose()
  return MetaWorld(config.task, seed, config.action_repeat, config.image_size or _SIZE)


def check(task: str) -> None:
  """Raises ValueError: there is no such task (names the nearest), or metaworld is not installed."""
  check_listed(task, names(), prefix=PREFIX, of="not of Meta-World", package="metaworld", extra="metaworld")


def names() -> tuple[str, ...]:
  """Lists its 50 tasks; () where it is not installed."""
  try:
    from metaworld import env_dict  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
  except ModuleNotFoundError:
    return ()
  return tuple(PREFIX + name for name in env_dict.ALL_V3_ENVIRONMENTS)


class MetaWorld(Environment):
  """One task; where things stand and what the goal is differs from episode to episode.

  An episode is 500 env steps long, and its end a time limit. `success` is logged. An action is held for `action_repeat` env
  steps, whose rewards are summed; only what the last one shows is drawn.
  """

  def __init__(self, task: str, seed: int, action_repeat: int, size: int):
    """
    Args:
      seed: of the episodes, until a reset gives another.
      size: side of the pictures in pixels.
    """
    from metaworld import env_dict  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

    name = task.removeprefix(PREFIX)
    self._env = env_dict.ALL_V3_ENVIRONMENTS[name](
      render_mode="rgb_array", camera_name=_CAMERA, width=size, height=size
    )
    self._env.model.cam_pos[self._env.model.camera(_CAMERA).id] = _POSITION
    # It asks for a task of its benchmark, which fixes goals. Without one, each reset draws a goal from the seed.
    self._env._set_task_called, self._env._freeze_rand_vec, self._env.seeded_rand_vec = True, False, True
    self._env.seed(seed)
    self._name, self._repeat, self._size, self._ended = task, action_repeat, size, True
    self._actions = BoxActions(self._env.action_space.low, self._env.action_space.high)

  @property
  def spec(self) -> EnvSpec:
    return EnvSpec({"image": ArraySpec((self._size, self._size, 3), "uint8")}, self._actions.spec)

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      self._env.seed(seed)
    self._env.reset()
    self._ended = False
    return Step({"image": self.render()}, 0.0, is_first=True, is_last=False, is_terminal=False)

  def step(self, action: np.ndarray) -> Step:
    if self._ended:
      raise RuntimeError(f"{self._name}: the episode is over (or never began); call reset first.")
    native, total, success = self._actions(action, self._name).astype(np.float32), 0.0, 0.0
    for _ in range(self._repeat):
      _, reward, _, self._ended, info = self._env.step(native)
      total, success = total + float(reward), max(success, float(info["success"]))
      if self._ended:
        break
    return Step({"image": self.render()}, total, False, self._ended, False, {"success": success})

  def render(self) -> np.ndarray:
    return np.ascontiguousarray(self._env.render()[::-1])  # its corner cameras stand on their heads

  def close(self) -> None:
    self._env.close()
