"""Checks every step of every environment before anything is done with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamerax.envs import violations
from dreamerax.envs.base import Environment, Step
from dreamerax.envs.faults import Breach, NotFinite
from dreamerax.envs.wrappers import Wrapper
from dreamerax.types import EnvSpec


class Checked(Wrapper):
  """Passes on what an environment answers if that is what its spec and `Environment` ask for.

  A right answer costs a few microseconds and no memory: names, shapes, dtypes and flags are compared, and numbers looked
  through, in buffers that are made once. `violations.of_step` finds the words for a wrong one.

  Raises:
    Breach: in `reset`, `step` and `replay`, what is wrong, at which step of the episode, and how it is mended. NotFinite
      where it is only that a number is not finite.
  """

  def __init__(self, env: Environment):
    """
    Raises:
      Breach: its spec makes no sense.
    """
    for violation in violations.of_spec(env.spec):
      raise Breach(violation.problem, violation.fix)
    super().__init__(env)
    self._spec = env.spec
    self._names = self._spec.observation.keys()
    self._arrays = [
      (name, np.dtype(array.dtype), array.shape, None if array.is_image else np.empty(array.shape, bool))
      for name, array in self._spec.observation.items()
    ]
    self._steps = 0  # taken in this episode
    self._over = True

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  def reset(self, seed: int | None = None) -> Step:
    self._steps = 0
    try:
      step = self._env.reset() if seed is None else self._env.reset(seed)
    except Breach as breach:
      raise breach.at(self._where) from None
    return self._passed(step)

  def step(self, action: np.ndarray) -> Step:
    if self._over:
      raise RuntimeError("the episode is over (or never began); call reset first.")
    self._steps += 1
    try:
      step = self._env.step(action)
    except Breach as breach:
      raise breach.at(self._where) from None
    return self._passed(step)

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    self._steps = len(actions)
    try:
      step = self._env.replay(seed, actions)
    except Breach as breach:
      raise breach.at("while its episode was replayed") from None
    return self._passed(step)

  @property
  def _where(self) -> str:
    return f"step {self._steps} of its episode" if self._steps else "reset"

  def _passed(self, step: Any) -> Step:
    self._over = True  # nothing is asked of it after a wrong answer
    if not self.passes(step):
      raise self._breach(step)
    self._over = bool(step.is_last)
    return step

  def passes(self, step: Any) -> bool:
    """Whether `violations.of_step` finds nothing, in a fraction of its time."""
    if not isinstance(step, Step):
      return False
    observation, reward, is_first, is_last, is_terminal, log = step
    if log and not violations.is_log(log):
      return False
    if not isinstance(observation, Mapping) or observation.keys() != self._names:
      return False
    for name, dtype, shape, finite in self._arrays:
      value = observation[name]
      if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
        return False
      if finite is not None and not np.logical_and.reduce(
        np.isfinite(value, out=finite)
      ):  # all() is a function of Python
        return False
    if not isinstance(reward, violations.NUMBERS) or not violations.is_finite(reward):
      return False
    for flag in (is_first, is_last, is_terminal):
      if not isinstance(flag, violations.BOOLS):
        return False
    if is_first:
      rests = self._steps == 0 and not is_last and not is_terminal and reward == 0
      return rests and violations.marks_within(observation)
    return self._steps > 0 and bool(is_last or not is_terminal)

  def _breach(self, step: Any) -> Breach:
    found = list(violations.of_step(step, self._spec, self._where, first=self._steps == 0))
    grave = [violation for violation in found if not violation.numbers]
    first = (grave or found)[0]
    kind = Breach if grave else NotFinite
    return kind(first.problem.removeprefix(f"{self._where}: "), first.fix, self._where)
