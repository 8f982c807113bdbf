"""Tells when something is due again, and measures where the time goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax


class Interval:
  """Due whenever a count passes a multiple of `every`; never if that is 0."""

  def __init__(self, every: float, now: float):
    """Next due at the first multiple after `now`."""
    self._every = every
    self._next = self._after(now)

  def due(self, now: float) -> bool:
    """Whether a multiple was passed since the last time that this was true."""
    if not self._every or now < self._next:
      return False
    self._next = self._after(now)
    return True

  def _after(self, now: float) -> float:
    return (now // self._every + 1) * self._every if self._every else float("inf")


class Timer:
  """Sums the seconds spent in named sections.

  A section that dispatches work to a device ends when that is dispatched, or, where `synchronous` is set, when it is done.
  """

  def __init__(self):
    self.synchronous = False
    self._began = time.monotonic()
    self._sums: dict[str, float] = {}

  @contextmanager
  def __call__(self, name: str) -> Iterator[Callable[[Any], None]]:
    """A section; yields a function that takes the arrays which it makes."""
    began = time.monotonic()
    try:
      yield self._wait
    finally:
      self._sums[name] = self._sums.get(name, 0.0) + time.monotonic() - began

  def take(self) -> tuple[float, dict[str, float]]:
    """Seconds since the last call, and those in each section."""
    now = time.monotonic()
    elapsed, sums = now - self._began, self._sums
    self._began, self._sums = now, {}
    return elapsed, sums

  def _wait(self, arrays: Any) -> None:
    if self.synchronous:
      jax.block_until_ready(arrays)
