"""Decides how many updates are due after the steps collected so far."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, Protocol

from dreamerax import checks
from dreamerax.runtime.counters import Counters

_NOT_BEGUN = -1


class Schedule(Protocol):
  """Decides after each collected step how many updates follow it."""

  @property
  def on_policy(self) -> bool:
    """Whether updates draw their batches once all that they fall due for is collected, and the policy acts with their
    result from the next step on. Else batches are drawn ahead, and the policy is one update behind."""
    ...

  def due(self, counters: Counters) -> int:
    """Returns how many updates to make now. Called only once the prefill is collected;
    what it returns counts as made."""
    ...

  def waive(self, counters: Counters) -> None:
    """Forgets what is owed for the steps collected so far: a restarted run has refilled
    its replay."""
    ...

  def state(self) -> dict[str, int]:
    """Returns what `restore` needs to continue, as plain integers."""
    ...

  def restore(self, state: Mapping[str, int]) -> None:
    """Continues where the schedule that gave `state` stood."""
    ...


class TrainRatio:
  """Keeps replayed agent steps proportional to collected ones.

  The first call is due one update, whatever was collected before it: the prefill is not owed. From then on,
  floor(ratio * collected since then / steps_per_update) further updates are made in total. What remains of an update is
  carried as an exact fraction, so that a run of any length never drifts from this.
  """

  on_policy = False

  def __init__(self, ratio: float, steps_per_update: int):
    """Starts before the first call.

    Args:
      ratio: agent steps replayed (context excluded) for each agent step collected.
      steps_per_update: agent steps that one update trains on, B * T.

    Raises:
      ValueError: ratio is negative or not finite, or steps_per_update is less than one.
    """
    if not 0 <= ratio < float("inf"):
      raise ValueError(f"train_ratio={ratio} must be a number of at least 0: 32 replays each collected step 32 times")
    if steps_per_update < 1:
      raise ValueError(f"steps_per_update={steps_per_update} must be at least 1: batch_size * batch_length")
    # By way of its decimal digits: 0.1 is meant as one tenth, not as the binary number nearest to it.
    self._updates_per_step = Fraction(str(ratio)) / steps_per_update
    self._last = _NOT_BEGUN  # agent steps at the newest call
    self._owed = Fraction(0)  # less than one update

  def due(self, counters: Counters) -> int:
    """Returns how many updates to make now, so that the ratio holds up to
    `counters.agent_steps`."""
    if self._last == _NOT_BEGUN:
      self._last = counters.agent_steps
      return 1
    self._owed += (counters.agent_steps - self._last) * self._updates_per_step
    self._last = counters.agent_steps
    count = floor(self._owed)
    self._owed -= count
    return count

  def waive(self, counters: Counters) -> None:
    """Lets the ratio count from `counters.agent_steps` on; what was still owed of an update stays owed."""
    if self._last != _NOT_BEGUN:
      self._last = counters.agent_steps

  def state(self) -> dict[str, int]:
    """Returns what a checkpoint keeps, as integers; the same keys before and after the
    first call."""
    return {"last": self._last, "owed_numerator": self._owed.numerator, "owed_denominator": self._owed.denominator}

  def restore(self, state: Mapping[str, int]) -> None:
    """Continues from `state()`. A ratio that has changed meanwhile counts from here on."""
    self._last = int(state["last"])
    self._owed = Fraction(int(state["owed_numerator"]), int(state["owed_denominator"]))


@dataclass(frozen=True)
class ScheduleConfig(abc.ABC):
  """Configuration of a schedule."""

  @abc.abstractmethod
  def build(self, batch_size: int, batch_length: int) -> Schedule:
    """Makes a schedule at its beginning, of updates on batches [B, T]."""


@dataclass(frozen=True)
class TrainRatioConfig(ScheduleConfig):
  """DreamerV3's schedule; the default is what it uses for DeepMind Control with action repeat 1."""

  ratio: float = 256.0  # agent steps replayed for each agent step collected

  def __post_init__(self):
    self.build(1, 1)  # refuses a ratio without meaning as soon as it is written down

  def build(self, batch_size: int, batch_length: int) -> TrainRatio:
    return TrainRatio(self.ratio, batch_size * batch_length)


class Bursts:
  """`updates` updates each time that `every` further steps are collected, and `first` at the first call.

  Steps beyond a multiple of `every` count towards the next burst, so that a run of any length makes as many updates as
  its steps allow.
  """

  on_policy = False

  def __init__(self, updates: int, every: int, first: int, unit: Literal["env_steps", "agent_steps"]):
    """Starts before the first call."""
    self._updates, self._every, self._first, self._unit = updates, every, first, unit
    self._last = _NOT_BEGUN  # steps at which the newest burst fell due

  def due(self, counters: Counters) -> int:
    """Returns how many updates to make now."""
    now = getattr(counters, self._unit)
    if self._last == _NOT_BEGUN:
      self._last = now
      return self._first
    bursts = (now - self._last) // self._every
    self._last += bursts * self._every
    return bursts * self._updates

  def waive(self, counters: Counters) -> None:
    """Lets the next burst fall due `every` steps from here."""
    if self._last != _NOT_BEGUN:
      self._last = getattr(counters, self._unit)

  def state(self) -> dict[str, int]:
    """Returns what a checkpoint keeps."""
    return {"last": self._last}

  def restore(self, state: Mapping[str, int]) -> None:
    """Continues from `state()`."""
    self._last = int(state["last"])


@dataclass(frozen=True)
class BurstConfig(ScheduleConfig):
  """The schedule of PlaNet, Dreamer v1 and v2: collect for a while, then update for a while."""

  updates: int = 100  # in a burst
  every: int = 1000  # steps from one burst to the next
  first: int = 100  # updates before the first of these steps
  unit: Literal["env_steps", "agent_steps"] = "env_steps"  # what `every` counts

  def __post_init__(self):
    checks.at_least(1, self, "updates", "every", group="schedule.")
    checks.at_least(0, self, "first", group="schedule.")

  def build(self, batch_size: int, batch_length: int) -> Bursts:
    return Bursts(self.updates, self.every, self.first, self.unit)


class Iterations:
  """`updates` updates at each multiple of `every` agent steps, the prefill's included: where environments in lockstep
  have ended the episodes of one more iteration. `warmup` further ones are spread over the steps from the first call to
  the first of these multiples.

  An episode that a failing environment cuts short moves the ends of its stream's episodes: iterations then see one of
  the iteration before.
  """

  on_policy = True

  def __init__(self, updates: int, every: int, warmup: int = 0):
    """Starts before the first call."""
    self._updates, self._every, self._warmup = updates, every, warmup
    self._last = self._first = _NOT_BEGUN  # agent steps at the newest and at the first call

  def due(self, counters: Counters) -> int:
    """Returns how many updates to make now; none at the first call, where the newest episode has begun."""
    before, self._last = self._last, counters.agent_steps
    if before == _NOT_BEGUN:
      self._first = self._last
      return 0
    whole = (self._last // self._every - before // self._every) * self._updates
    return whole + self._warm(self._last) - self._warm(before)

  def waive(self, counters: Counters) -> None:
    """Leaves out what fell due up to here."""
    if self._last != _NOT_BEGUN:
      self._last = counters.agent_steps

  def state(self) -> dict[str, int]:
    """Returns what a checkpoint keeps."""
    return {"last": self._last, "first": self._first}

  def restore(self, state: Mapping[str, int]) -> None:
    """Continues from `state()`."""
    self._last = int(state["last"])
    self._first = int(state.get("first", self._last))

  def _warm(self, steps: int) -> int:
    """Updates of the warm-up that fell due up to so many agent steps."""
    length = self._every - self._first % self._every
    return self._warmup * min(steps - self._first, length) // length


@dataclass(frozen=True)
class IterationsConfig(ScheduleConfig):
  """On-policy iterations: collect B whole episodes of T - 1 steps, update on them, and act with what was learned.

  Batches have to begin with the newest episodes: replay.draw is "newest".
  """

  updates: int = 1  # of an iteration
  warmup: int = 0  # further updates, while the episodes of the first iteration after the prefill are collected

  def __post_init__(self):
    checks.at_least(1, self, "updates", group="schedule.")
    checks.at_least(0, self, "warmup", group="schedule.")

  def build(self, batch_size: int, batch_length: int) -> Iterations:
    """batch_size: the newest episodes of a batch."""
    return Iterations(self.updates, batch_size * (batch_length - 1), self.warmup)
