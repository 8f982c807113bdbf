"""Nested dicts of arrays in one file, read back without knowing their shapes, and without pickle."""

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np


def flatten(tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[np.ndarray]]:
  """Copies of the arrays of a tree in order, and its index: the tree as JSON, with [dtype, shape] in place of each array.

  Args:
    tree: dicts with strings as keys, within each other to any depth; any may be empty. Arrays: of any shape, empty ones
      too, and of any dtype with a name, such as bfloat16.

  Raises:
    TypeError: a key is no string, or a dtype has no bytes of its own (object).
  """
  index, arrays = {}, []
  for name, value in tree.items():
    if not isinstance(name, str):
      raise TypeError(f"{name!r} is no string: arrays are saved under strings")
    if isinstance(value, Mapping):
      index[name], below = flatten(value)
      arrays += below
    else:
      array = np.array(value, order="C")  # a copy, as the caller goes on with its own
      if array.dtype.hasobject or np.dtype(array.dtype.name) != array.dtype:
        raise TypeError(f"{name!r} is an array of {array.dtype}, which cannot be saved")
      index[name] = [array.dtype.name, list(array.shape)]
      arrays.append(array)
  return index, arrays


def write(file: BinaryIO, arrays: list[np.ndarray]) -> None:
  """Appends the bytes of arrays, as `flatten` gives them."""
  for array in arrays:
    file.write(_bytes(array).data)


def read(file: BinaryIO, index: Mapping[str, Any]) -> dict[str, Any]:
  """The tree that `flatten` and `write` took apart.

  Raises:
    ValueError: the index is of other arrays than the file's.
  """
  try:
    return _read(file, index)
  except (ValueError, TypeError, AttributeError, ArithmeticError, MemoryError, RecursionError) as error:
    raise ValueError(f"{file.name} does not hold the arrays that its index names ({error})") from error


def _read(file: BinaryIO, index: Mapping[str, Any]) -> dict[str, Any]:
  tree = {}
  for name, entry in index.items():
    if isinstance(entry, Mapping):
      tree[name] = _read(file, entry)
      continue
    dtype, shape = entry
    tree[name] = np.empty(shape, np.dtype(dtype))  # memory is taken only as far as it is written to
    if file.readinto(_bytes(tree[name]).data) != tree[name].nbytes:  # type: ignore[attr-defined]
      raise ValueError(f"it is too short for {name}")
  return tree


def _bytes(array: np.ndarray) -> np.ndarray:
  """The same memory as uint8 [N]."""
  return array.reshape(-1).view(np.uint8)
