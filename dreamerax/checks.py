"""Refuses numbers that make no sense as soon as a config is written down, long before anything is compiled.

Each function names the first of some fields that does not fit. `group` goes before the
name, where the fields are those of a part: "replay.". A field that is None is left out.
"""

from collections.abc import Iterator
from typing import Any


def at_least(minimum: float, config: Any, *names: str, group: str = "") -> None:
  """Raises ValueError: a field is less than `minimum`, or not a number."""
  for name, value in _values(config, names):
    if not value >= minimum:
      raise ValueError(f"{group}{name}={value} must be at least {minimum}")


def more_than_zero(config: Any, *names: str, group: str = "") -> None:
  """Raises ValueError: a field is not positive and finite."""
  for name, value in _values(config, names):
    if not 0 < value < float("inf"):
      raise ValueError(f"{group}{name}={value} must be more than 0")


def between(low: float, high: float, config: Any, *names: str, group: str = "") -> None:
  """Raises ValueError: a field lies outside [low, high]."""
  for name, value in _values(config, names):
    if not low <= value <= high:
      raise ValueError(f"{group}{name}={value} must lie between {low} and {high}")


def _values(config: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
  values = ((name, getattr(config, name)) for name in names)
  return ((name, value) for name, value in values if value is not None)
