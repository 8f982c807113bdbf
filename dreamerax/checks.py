"""Refuses numbers that make no sense as soon as a config is written down, long before anything is compiled."""

from typing import Any


def at_least(minimum: float, config: Any, *names: str) -> None:
  """Raises ValueError naming the first of the fields `names` that is less than `minimum`, or not a number."""
  for name in names:
    value = getattr(config, name)
    if not value >= minimum:
      raise ValueError(f"{name}={value} must be at least {minimum}")


def more_than_zero(config: Any, *names: str) -> None:
  """Raises ValueError naming the first of the fields `names` that is not positive and finite."""
  for name in names:
    value = getattr(config, name)
    if not 0 < value < float("inf"):
      raise ValueError(f"{name}={value} must be more than 0")


def between(low: float, high: float, config: Any, *names: str) -> None:
  """Raises ValueError naming the first of the fields `names` that lies outside [low, high]."""
  for name in names:
    value = getattr(config, name)
    if not low <= value <= high:
      raise ValueError(f"{name}={value} must lie between {low} and {high}")
