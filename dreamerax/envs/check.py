"""Finds out what is wrong with an environment, before a run does."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dreamerax.envs import violations
from dreamerax.envs.base import Environment, Step
from dreamerax.envs.faults import Breach
from dreamerax.envs.suites.actions import random_actions
from dreamerax.envs.violations import Violation

_log = logging.getLogger(__name__)


def check_env(
  env: Environment, *, factory: Callable[[int], Environment] | None = None, steps: int = 100, seed: int = 0
) -> None:
  """Steps `env` with random actions and compares what it says and does with its spec.

  An environment that does not repeat an episode from its seed can be trained on: that is only logged, as a warning.
  `Examination`, which this runs, goes on after the first thing found wrong.

  Args:
    env: reset at least once and stepped `steps` times, and up to twice as often to compare; the caller closes it.
    factory: makes the environment from a seed. Where given, two made from one seed must agree to the bit.
    steps: agent steps to take.
    seed: of the actions, of the episode that is repeated, and of what `factory` makes.

  Raises:
    ValueError: the first thing found wrong, by name, and how it is mended.
  """
  for violation in Examination(env, factory=factory, steps=steps, seed=seed).violations():
    if violation.fatal:
      raise ValueError(str(violation)) from violation.cause
    _log.warning("%s", violation)


class Met(NamedTuple):
  """The counts of what random actions met in an environment."""

  steps: int  # agent steps
  seconds: float  # that they and the resets between took
  lengths: tuple[int, ...]  # agent steps of each episode that ended
  returns: tuple[float, ...]  # of each episode that ended
  terminal: int  # episodes that ended by is_terminal, and not by a time limit
  rewards: tuple[float, float]  # least and greatest of a step


class Examination:
  """An environment under random actions. Arguments are those of `check_env`."""

  met: Met | None
  """What was met, once `violations` is exhausted; None where the environment could not be stepped."""

  def __init__(
    self,
    env: Environment,
    *,
    factory: Callable[[int], Environment] | None = None,
    steps: int = 100,
    seed: int = 0,
    alive: Callable[[], None] = lambda: None,
  ):
    """alive: called after everything that the environment answers."""
    self.met = None
    self._env, self._factory, self._steps, self._seed, self._alive = env, factory, steps, seed, alive

  def violations(self) -> Iterator[Violation]:
    """All that is wrong, each once, as it is found; what builds on something wrong is not looked at."""
    seen: set[str] = set()
    for violation in self._all():
      if violation.fix not in seen:
        seen.add(violation.fix)
        yield violation

  def _all(self) -> Iterator[Violation]:
    stages = (self._declared, self._stepped, self._repeated, self._made_twice)
    for stage in stages:
      fatal = False
      for violation in stage():
        fatal |= violation.fatal
        yield violation
      if fatal:
        return

  def _declared(self) -> Iterator[Violation]:
    yield from violations.of_spec(self._env.spec)
    yield from violations.of_reset(self._env)

  def _stepped(self) -> Iterator[Violation]:
    walk, began = _Walk(self._env, self._seed, self._alive), time.perf_counter()
    yield from walk.episodes(self._steps)
    if walk.usable:
      self.met = _met(walk.record, time.perf_counter() - began)

  def _repeated(self) -> Iterator[Violation]:
    walks = [_Walk(self._env, self._seed, self._alive) for _ in range(2)]
    for walk in walks:
      yield from walk.episode(self._steps, self._seed)
    difference = _difference(*(walk.record for walk in walks))
    if difference:
      yield Violation(
        f"reset(seed={self._seed}) begins an episode that differs from the one it began before in {difference}. Training "
        "works, but a run that is killed and goes on cannot bring its unfinished episodes back",
        "let everything random in an episode follow from the seed, when one is given",
        fatal=False,
      )

  def _made_twice(self) -> Iterator[Violation]:
    if self._factory is None:
      return
    records = []
    for _ in range(2):
      twin = self._factory(self._seed)
      walk = _Walk(twin, self._seed, self._alive)
      try:
        yield from walk.episodes(self._steps)
      finally:
        twin.close()
      records.append(walk.record)
    difference = _difference(*records)
    if difference:
      yield Violation(
        f"seed: two environments made with seed {self._seed} differ in {difference}",
        "draw from np.random.default_rng(seed) with the seed that the factory is given",
      )


class _Walk:
  """Takes random actions, and keeps copies of what came back, so that a buffer used twice cannot make steps look alike."""

  def __init__(self, env: Environment, seed: int, alive: Callable[[], None]):
    self.record: list[Step] = []
    self._alive = alive
    self.usable = True  # nothing is asked of the environment after an answer that cannot be read
    self._env, self._rng = env, np.random.default_rng(seed)

  def episodes(self, steps: int) -> Iterator[Violation]:
    """Takes `steps` steps over as many episodes as that needs."""
    yield from self._ask("reset", self._env.reset)
    for _ in range(steps):
      if self.usable and self.record[-1].is_last:
        yield from self._ask("reset", self._env.reset)
      yield from self._act(random_actions(self._env.spec.action, self._rng, 1)[0], "step")
    for bound in (-1, 1):  # the extremes of what a policy may send
      if self.usable and not self.record[-1].is_last and not self._env.spec.action.discrete:
        yield from self._act(np.full(self._env.spec.action.size, bound, np.float32), f"step at action {bound}")

  def episode(self, steps: int, seed: int) -> Iterator[Violation]:
    """Takes up to `steps` steps of the episode with this seed."""
    yield from self._ask("reset", lambda: self._env.reset(seed))
    for _ in range(steps):
      if self.usable and not self.record[-1].is_last:
        yield from self._act(random_actions(self._env.spec.action, self._rng, 1)[0], "step")

  def _act(self, action: np.ndarray, where: str) -> Iterator[Violation]:
    given = action.copy()
    yield from self._ask(where, lambda: self._env.step(given))
    if not np.array_equal(action, given):
      yield Violation("step changes the action it is given", "copy it first")

  def _ask(self, where: str, call: Callable[[], Step]) -> Iterator[Violation]:
    if not self.usable:
      return
    try:
      step = call()
    except Breach as breach:  # of an adapter, which cannot read what the environment gave
      self.usable = False
      yield Violation(f"{where}: {breach.problem}", breach.fix)
      return
    except Exception as error:
      self.usable = False
      frame = traceback.extract_tb(error.__traceback__)[-1]
      place = f"{frame.filename}, line {frame.lineno}"
      yield Violation(f"{where} raised {error!r}", f"see {place}", cause=error)
      return
    self._alive()
    yield from violations.of_step(step, self._env.spec, where, first=where == "reset")
    if not violations.is_readable(step):
      self.usable = False
      return
    copies = {key: np.array(value) for key, value in step.observation.items()}
    self.record.append(step._replace(observation=copies))


def _difference(one: Sequence[Step], other: Sequence[Step]) -> str | None:
  """Finds where two records of the same actions differ first; where their lengths do, a
  flag differed before."""
  for index, (a, b) in enumerate(zip(one, other, strict=False)):
    for key in a.observation:
      if not np.array_equal(a.observation[key], b.observation[key]):
        return f"observation {key!r} at step {index}"
    if a[1:] != b[1:]:
      return f"reward or flags at step {index}"
  return None


def _met(record: Sequence[Step], seconds: float) -> Met:
  """record: begins with a reset."""
  lengths, returns, length, score = [], [], 0, 0.0
  for step in record:
    length, score = (0, 0.0) if step.is_first else (length + 1, score + step.reward)
    if step.is_last:
      lengths.append(length)
      returns.append(score)
  rewards = [step.reward for step in record if not step.is_first]
  terminal = sum(bool(step.is_terminal) for step in record)
  return Met(len(rewards), seconds, tuple(lengths), tuple(returns), terminal, (min(rewards), max(rewards)))
