"""Images of other numbers than uint8, which libraries show as floats in [0, 1], [-1, 1] or [0, 255]."""

from collections.abc import Collection
from typing import Any

import numpy as np

from dreamerax.envs.faults import Breach, NotFinite
from dreamerax.types import ArraySpec

_LEAST = 8  # pixels of a side that an array has to have to be an image
_ROOM = 1e-3  # of the range, for rounding


def is_convertible(shape: Collection[int], dtype: Any) -> bool:
  """Whether an array may be an image as the option float_images takes it: numbers other than uint8, of rank 2 or 3."""
  sides = sorted(shape)[-2:]
  return np.dtype(dtype) != np.uint8 and len(shape) in (2, 3) and min(sides) >= _LEAST


class FloatImage:
  """Converts one array to an image: its range becomes 0 to 255."""

  def __init__(self, key: str, shape: tuple[int, ...], low: Any, high: Any):
    """
    Args:
      key: how errors call it.
      low: declared bounds of its numbers; where one is not finite, they count as 0 and 1.
    """
    bounds = float(np.min(low)), float(np.max(high))
    declared = all(abs(bound) < np.finfo(np.float32).max for bound in bounds) and bounds[0] < bounds[1]
    self._key = key
    self._low, self._high = bounds if declared else (0.0, 1.0)
    self.spec = ArraySpec((*shape, 1)[:3], "uint8")

  def __call__(self, value: np.ndarray) -> np.ndarray:
    """uint8 [a, b, c].

    Raises:
      Breach: a number is beyond the bounds. NotFinite: it is nan or inf.
    """
    least, most = float(value.min()), float(value.max())
    if not np.isfinite([least, most]).all():
      raise NotFinite(f"observation {self._key!r} has a number that is not finite", "leave out what may be nan or inf")
    room = _ROOM * (self._high - self._low)
    if least < self._low - room or most > self._high + room:
      raise Breach(
        f"observation {self._key!r} has numbers from {least:g} to {most:g}, and as an image they lie in "
        f"[{self._low:g}, {self._high:g}]",
        "declare their bounds in the space or spec",
      )
    scaled = (value.astype(np.float32) - self._low) * (255 / (self._high - self._low))
    return np.rint(scaled).clip(0, 255).astype(np.uint8).reshape(self.spec.shape)


def none_found(name: str) -> ValueError:
  """The error where float_images is asked for and no array is convertible."""
  return ValueError(
    f"float_images=True: {name} shows no arrays of floats that could be images, [height, width, channels]; leave it out"
  )
