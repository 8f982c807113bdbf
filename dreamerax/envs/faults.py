"""Describes the failures of environments, and decides when they end a run."""

import traceback
from collections import deque

_TIMES, _WITHIN = 5, 1000


class EnvironmentFault(RuntimeError):
  """An environment fails again and again, or shows what cannot be trained on; the message is one line for people."""


class Breach(Exception):
  """An environment answered something else than its spec or its interface asks for."""

  def __init__(self, problem: str, fix: str, where: str = ""):
    """where: in its episode."""
    super().__init__(problem, fix, where)
    self.problem, self.fix, self.where = problem, fix, where

  def __str__(self) -> str:
    return f"{self.where}: {self.problem}: {self.fix}" if self.where else f"{self.problem}: {self.fix}"

  def at(self, where: str) -> "Breach":
    """The same, found there."""
    return type(self)(self.problem, self.fix, where)


class NotFinite(Breach):
  """An environment showed a number that is not finite, and did nothing else wrong."""


class NoPicture(ValueError):
  """An environment has no picture of itself for people; the message says why, and how that is mended."""


class Failures:
  """Counts the failures of one thing, and tells when it will not get better."""

  def __init__(self):
    self._when: deque[int] = deque(maxlen=_TIMES)

  def add(self, now: int, name: str, account: str) -> None:
    """
    Args:
      now: steps that it was asked for so far.
      name: what failed.
      account: what it said, of one line or many.

    Raises:
      EnvironmentFault: it has failed too often for as few steps.
    """
    self._when.append(now)
    if len(self._when) == _TIMES and now - self._when[0] < _WITHIN:
      raise EnvironmentFault(
        f"{name} failed {_TIMES} times within {_WITHIN} steps, the last time so: {last_line(account).removeprefix(f'{name}, ')}"
      )


def describe(index: int, error: Exception) -> str:
  """Describes what the environment with this number did; called where `error` is
  handled. It is a traceback, unless a line says it all."""
  if isinstance(error, Breach):
    return f"environment {index}, {error}"
  return f"environment {index} raised\n{traceback.format_exc()}"


def ends_run(account: str) -> str:
  """Says that a `NotFinite` ends the run. account: what `describe` gave."""
  return f"{account}; or end such episodes where it happens: --nonfinite skip"


def ends_episode(account: str, count: int) -> str:
  """Says that a `NotFinite` ends an episode. count: how many did in this process."""
  return f"{account}; the episode ends before it, the {count}. of this process that does (--nonfinite skip)"


def last_line(account: str) -> str:
  """The last that is not empty: of a traceback, the error."""
  return next((line.strip() for line in reversed(account.splitlines()) if line.strip()), "nothing")


def is_told(count: int) -> bool:
  """Whether the event with this number, from 1, is worth a line: the 1st, 2nd, 4th, 8th."""
  return count & (count - 1) == 0
