"""Catch, from pixels: a ball falls straight down, and a paddle under it moves left, right or not at all."""

import numpy as np

from dreamerax.envs import Environment, Step
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

CELLS, SIDE = 8, 8  # of the field, and of a cell in pixels


class Catch(Environment):
  def __init__(self, seed: int):
    self._rng = np.random.default_rng(seed)

  @property
  def spec(self) -> EnvSpec:
    return EnvSpec({"image": ArraySpec((CELLS * SIDE, CELLS * SIDE, 3), "uint8")}, ActionSpec(3, discrete=True))

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:  # all that is random in this episode follows from it
      self._rng = np.random.default_rng(seed)
    self._row, self._column, self._paddle = 0, self._rng.integers(CELLS), CELLS // 2
    return Step(self._observation(), reward=0.0, is_first=True, is_last=False, is_terminal=False)

  def step(self, action: np.ndarray) -> Step:
    self._paddle = int(np.clip(self._paddle + action.argmax() - 1, 0, CELLS - 1))
    self._row += 1
    landed = self._row == CELLS - 1
    reward = 0.0 if not landed else 1.0 if self._column == self._paddle else -1.0
    return Step(self._observation(), reward, is_first=False, is_last=landed, is_terminal=landed)

  def _observation(self) -> dict[str, np.ndarray]:
    cells = np.zeros((CELLS, CELLS, 3), np.uint8)
    cells[CELLS - 1, self._paddle] = 80, 160, 255
    cells[self._row, self._column] = 255, 180, 60
    return {"image": cells.repeat(SIDE, 0).repeat(SIDE, 1)}
