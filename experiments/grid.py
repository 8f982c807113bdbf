"""A grid without walls or goals, from pixels with four choices, whose return is the number of cells that an episode visits.

dreamerax record --task experiments.grid:Grid --episodes 100 --out episodes/grid
dreamerax train-world-model experiments.grid:informed --data episodes/grid --updates 1000 --eval-every 0 --logdir runs/informed
dreamerax eval runs/informed --episodes 50 --trust experiments.grid
python experiments/random_returns.py --task experiments.grid:Grid --episodes 50

`informed` explores by the frames that `oh` predicts (Oh et al. 2015).
"""

from dataclasses import replace

import numpy as np

from dreamerax import presets
from dreamerax.behavior.informed import Informed
from dreamerax.envs import Environment, Step
from dreamerax.run_config import RunConfig
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

CELLS, PIXELS, STEPS = 8, 4, 40  # cells of a side, pixels of a cell's side, moves of an episode
MOVES = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])


class Grid(Environment):
  """One bright cell is where the agent is; a move against the border does nothing."""

  def __init__(self, seed: int):
    self._rng = np.random.default_rng(seed)

  @property
  def spec(self) -> EnvSpec:
    side = CELLS * PIXELS
    return EnvSpec({"image": ArraySpec((side, side, 3), "uint8")}, ActionSpec(len(MOVES), discrete=True))

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      self._rng = np.random.default_rng(seed)
    self._place, self._visited, self._moves = self._rng.integers(CELLS, size=2), set(), 0
    return self._step(is_first=True)

  def step(self, action: np.ndarray) -> Step:
    self._place = np.clip(self._place + MOVES[action.argmax()], 0, CELLS - 1)
    self._moves += 1
    return self._step(is_first=False)

  def _step(self, is_first: bool) -> Step:
    cell = tuple(self._place)
    new = cell not in self._visited
    self._visited.add(cell)
    cells = np.full((CELLS, CELLS, 3), 30, np.uint8)
    cells[cell] = 240, 200, 60
    image = cells.repeat(PIXELS, 0).repeat(PIXELS, 1)
    reward = float(new and not is_first)
    return Step({"image": image}, reward, is_first, is_last=self._moves == STEPS, is_terminal=False)


def informed() -> RunConfig:
  """`oh` at size small, whose choices are those that lead to frames unlike all of the episode's."""
  run = presets.build("oh", "small")
  behavior = Informed(window=STEPS)
  return replace(run, env=replace(run.env, task="experiments.grid:Grid"), agent=replace(run.agent, behavior=behavior))
