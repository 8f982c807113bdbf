"""Reads what environments of other libraries return, and names what cannot be read."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamerax.envs.episode_log import SUCCESS
from dreamerax.envs.faults import Breach

LOG = "log/"  # begins the names of numbers that are for people alone
_SUCCESS = "is_success"  # another name for SUCCESS
_SHOWN = 60  # characters of a value


def array(value: Any, shape: tuple[int, ...], dtype: Any, key: str, declared: str) -> np.ndarray:
  """`value` as it is, if shape and kind of numbers are the declared ones; float64 may stand for float32.

  Args:
    declared: who says what it must be: "the space", "the spec".

  Raises:
    Breach: they are not.
  """
  dtype = np.dtype(dtype)
  given = np.asarray(value)
  found = f"observation {key!r} is {given.dtype} {list(given.shape)}; {declared} says {dtype} {list(shape)}"
  if given.shape != shape:
    raise Breach(found, f"reshape or transpose it, or declare {list(given.shape)}")
  if dtype == np.uint8 and given.dtype.kind == "f":
    raise Breach(found, "multiply it by 255 where it lies in [0, 1] and convert it with astype(np.uint8)")
  if (dtype == np.uint8 and given.dtype != np.uint8) or not np.can_cast(given.dtype, dtype, "same_kind"):
    raise Breach(found, f"convert it with astype(np.{dtype}), or declare {given.dtype}")
  return given


def reward(value: Any, method: str) -> float:
  """One number, be it in an array.

  Raises:
    Breach: it is none.
  """
  number = _number(value)
  if number is not None:
    return number
  raise Breach(f"{method} gave the reward {short(value)}", "return one number: float(reward)")


def flag(value: Any, name: str) -> bool:
  """A bool, be it in an array or as 0 or 1.

  Raises:
    Breach: it is neither true nor false.
  """
  if isinstance(value, np.ndarray) and value.size == 1:
    value = value.item()
  if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
    return bool(value)
  raise Breach(f"step gave {name}={short(value)}", f"return bool({name})")


def log(info: Any) -> dict[str, float]:
  """An info dict's own numbers: `log/<name>`, and `success` or `is_success`.

  Raises:
    Breach: a `log/<name>` is no number.
  """
  found = {}
  for key, value in info.items() if isinstance(info, Mapping) else ():
    if is_logged(key):
      number = _number(value)
      if number is not None:
        found[SUCCESS if key == _SUCCESS else key.removeprefix(LOG)] = number
      elif key.startswith(LOG):
        raise Breach(f"{key!r} is {short(value)}", "give one number")
  return found


def is_logged(key: Any) -> bool:
  """Whether an info dict has a number for people under this key, where it is a number."""
  return key in (SUCCESS, _SUCCESS) or (isinstance(key, str) and key.startswith(LOG))


def _number(value: Any) -> float | None:
  if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiub":
    value = value.item()
  try:
    return float(value) if isinstance(value, (float, int, np.floating, np.integer, np.bool_)) else None
  except OverflowError:  # an integer of hundreds of digits
    return None


def short(value: Any) -> str:
  """Writes a value in one line, cut where it is long."""
  try:
    text = " ".join(repr(value).split())
  except Exception:  # of a class of theirs; Python writes no integer of more than 4,300 digits
    text = f"<{type(value).__name__}>"
  return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
