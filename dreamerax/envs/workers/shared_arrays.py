"""Named arrays that processes share by the file descriptor of anonymous memory: no name, and nothing left behind."""

import math
import mmap
import os
from collections.abc import Mapping

import numpy as np

from dreamerax.types import ArraySpec

_ALIGNMENT = 64  # bytes: a cache line


def reserve() -> int:
  """File descriptor of empty anonymous memory; it is gone with the last process that holds it."""
  return os.memfd_create("dreamerax")


def map_arrays(fd: int, specs: Mapping[str, ArraySpec]) -> dict[str, np.ndarray]:
  """Lays the arrays out in the memory behind `fd`, which grows to hold them. Zeros at first; all who map it see the same."""
  offsets, size = [], 0
  for spec in specs.values():
    offsets.append(size)
    size += math.ceil(spec.nbytes / _ALIGNMENT) * _ALIGNMENT
  os.ftruncate(fd, size)
  memory = mmap.mmap(fd, size)
  return {
    name: np.ndarray(spec.shape, spec.dtype, memory, offset)
    for (name, spec), offset in zip(specs.items(), offsets, strict=True)
  }
