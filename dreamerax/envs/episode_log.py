"""Turns an environment's own numbers of each step into one number for each episode."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.wrappers import Wrapper

SUCCESS = "success"
"""Whose highest value counts, so that it is 1 for an episode that succeeded at any step. Of all others the mean counts, over
the steps that gave them."""


class EpisodeLog:
  """Collects what the steps of an episode give."""

  def __init__(self, state: Mapping[str, Sequence[float]] = MappingProxyType({})):
    """state: of a log that goes on."""
    # Sum and count, or the highest and 1.
    self._values: dict[str, list[float]] = {name: list(value) for name, value in state.items()}

  def state(self) -> dict[str, list[float]]:
    """Returns plain data from which the log goes on."""
    return self._values

  def add(self, log: Mapping[str, float]) -> None:
    """Takes what a step gave. Numbers that are not finite are left out."""
    for name, given in log.items():
      value = float(given)
      if not math.isfinite(value):
        continue
      known = self._values.setdefault(name, [-math.inf, 1.0] if name == SUCCESS else [0.0, 0.0])
      if name == SUCCESS:
        known[0] = max(known[0], value)
      else:
        known[0] += value
        known[1] += 1

  def episode(self) -> dict[str, float]:
    """One number for each name."""
    return {name: total / count for name, (total, count) in self._values.items()}


class Logged(Wrapper):
  """Gives the log of a whole episode with its last step, and none with the others."""

  def __init__(self, env: Environment, *, own_replay: bool = False):
    """own_replay: `env.replay` is something else than its steps one after the other, which then count for nothing."""
    super().__init__(env)
    self._own_replay = own_replay
    self._log = EpisodeLog()

  def reset(self, seed: int | None = None) -> Step:
    self._log = EpisodeLog()
    return self._counted(self._env.reset(seed))

  def step(self, action: np.ndarray) -> Step:
    return self._counted(self._env.step(action))

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    if not self._own_replay:
      return Environment.replay(self, seed, actions)
    self._log = EpisodeLog()
    return self._counted(self._env.replay(seed, actions))

  def _counted(self, step: Step) -> Step:
    if step.log:
      self._log.add(step.log)
    log = self._log.episode() if step.is_last else {}
    return step._replace(log=log) if step.log or log else step
