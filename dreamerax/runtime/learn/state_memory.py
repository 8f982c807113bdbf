"""Checks that an agent's state fits in memory; where it does not, XLA ends the process without an exception."""

import math

import jax
from jax.sharding import Mesh

from dreamerax.memory_limit import machine_memory
from dreamerax.replay.budget import size_of
from dreamerax.runtime.protocol import State


def check_fits(shapes: State, mesh: Mesh) -> None:
  """
  Args:
    shapes: `abstract_state` on `mesh`.

  Raises:
    ValueError: the state alone is larger than the memory of its devices.
  """
  largest, total = (0, ""), 0
  for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
    nbytes = math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    total += nbytes
    largest = max(largest, (nbytes, jax.tree_util.keystr(path, simple=True, separator="/")))
  device = mesh.local_devices[0]
  if device.platform == "cpu":  # whose devices share it
    total, memory = total * len(mesh.local_devices), machine_memory()
  else:
    memory = (device.memory_stats() or {}).get("bytes_limit")
  if memory is not None and total > memory:
    raise ValueError(
      f"the agent's state needs {size_of(total)}, and this machine has {size_of(memory)} for it: lower the widths of the "
      f"agent's parts, most of all that of {largest[1]}, or choose a smaller size"
    )
