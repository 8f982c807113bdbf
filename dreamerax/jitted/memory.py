"""Checks that a batch fits in memory, before its program is compiled."""

import math
from typing import Any

import jax

from dreamerax.jitted.base import ArrayEnv
from dreamerax.memory_limit import machine_memory


def check_fits(env: ArrayEnv, num_envs: int, name: str) -> None:
  """
  Raises:
    ValueError: what environments hold, without temporaries of the compiler, is larger than the memory of jax's first
      device; says how many fit.
  """
  state = jax.eval_shape(env.reset, jax.random.key(0))
  each = 2 * _nbytes(state) + _nbytes(jax.eval_shape(env.observe, state)) + env.extra_bytes  # before and after a step
  device = jax.local_devices()[0]
  memory = machine_memory() if device.platform == "cpu" else (device.memory_stats() or {}).get("bytes_limit")
  if memory is not None and num_envs * each > memory:
    raise ValueError(
      f"num_envs={num_envs}: environments of task={name!r} take {each:,} bytes each, and {device.platform} has "
      f"{memory:,} for them: at most {memory // each:,} fit"
    )


def _nbytes(tree: Any) -> int:
  return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
