"""Films an episode of an evaluation."""

import logging

import numpy as np

from dreamerax.envs.base import EnvBatch
from dreamerax.envs.faults import NoPicture
from dreamerax.images import colored
from dreamerax.types import GOAL, EnvSpec, Transition

_log = logging.getLogger(__name__)
_EDGE = 2  # pixels between what is seen and the goal


def picture(spec: EnvSpec) -> str | None:
  """The name of the first visible image, where there is one."""
  return next((name for name, array in spec.visible.items() if array.is_image), None)


def _goal(spec: EnvSpec, image: str | None) -> str | None:
  """The name of the image that shows the goal of another one, in its shape."""
  if image is None or spec.observation.get(GOAL + image) != spec.observation[image]:
    return None
  return GOAL + image


class Film:
  """The first image that the first environment shows, or a picture that it draws of itself where it shows none.

  An environment that shows the goal as an image of the same shape is filmed with it at the right of each frame.
  """

  def __init__(self, envs: EnvBatch):
    """envs: without images, made with `film`."""
    self._envs, self._image = envs, picture(envs.spec)
    self._goal = _goal(envs.spec, self._image)
    self._frames: list[np.ndarray] = []
    self._rewards: list[float] = []
    self._torn = False

  def add(self, row: Transition) -> None:
    """Takes the newest row [E, ...]. A film that cannot go on ends with a warning.

    Raises:
      NoPicture: there is nothing to film.
    """
    if self._torn:
      return
    try:
      frame = self._frame(row)
    except NoPicture as error:
      if not self._frames:
        raise
      self._end(f"it can no longer be drawn: {error}")
      return
    if self._frames and frame.shape != self._frames[0].shape:
      self._end(f"its pictures are {list(self._frames[0].shape)}, and then {list(frame.shape)}")
      return
    self._frames.append(frame)
    self._rewards.append(float(row.reward[0]))

  def develop(self) -> tuple[np.ndarray, np.ndarray]:
    """Frames, uint8 [T, H, W, 3], and the rewards [T] that came with them."""
    return np.stack(self._frames), np.array(self._rewards)

  def _frame(self, row: Transition) -> np.ndarray:
    if self._image is None:
      return self._envs.render(0)
    now = np.array(colored(row.observation[self._image][0]))
    if self._goal is None:
      return now
    edge = np.full((len(now), _EDGE, 3), 255, np.uint8)
    return np.concatenate([now, edge, colored(row.observation[self._goal][0])], 1)

  def _end(self, why: str) -> None:
    self._torn = True
    _log.warning("the film of an environment ends after %d frames: %s", len(self._frames), why)
