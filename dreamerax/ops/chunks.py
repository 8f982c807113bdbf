"""Works through a batch in chunks, so that what is made of a chunk is used while it is in the processor's cache.

For the CPU, where a network over small pictures waits for memory more than it computes. Accelerators get whole batches.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dreamerax.ops.backend import on_cpu

Rows = Any  # a pytree of arrays [N, ...], one row for each element of the batch
Sums = Any  # a pytree of arrays that are added up over the batch

_BYTES = 2**21  # of the largest array that is made of a chunk


def chunk_size(numbers: int) -> int:
  """The number of rows in a chunk, where the largest array made of one row has so many float32 numbers."""
  return max(1, _BYTES // (4 * numbers))


def over_chunks(function: Callable[..., tuple[Rows, Sums]], size: int, *rows: Rows) -> tuple[Rows, Sums]:
  """`function(*rows)` for rows [N, ...], computed for about `size` of them at a time.

  `function` maps pytrees of [n, ...] to (rows [n, ...], sums); it must treat rows alike and independently. No gradients.

  The batch is split into as many groups as the mesh that this is traced in has devices (without one, as there are), on the
  outermost axis; every step takes some of each group. A batch that is sharded over devices so keeps its shards, and the
  devices' sums are added once at the end.
  """
  batch = jax.tree.leaves(rows)[0].shape[0]
  if not isinstance(batch, int) or batch <= size:  # an exported program's batch may be a symbol
    return function(*rows)
  mesh = jax.sharding.get_abstract_mesh()
  groups = math.gcd(batch, jax.device_count() if mesh.empty else mesh.size)
  each = batch // groups
  chunk = _chunk(each, max(1, size // groups))
  grouped = jax.tree.map(lambda x: x.reshape(groups, each, *x.shape[1:]), rows)

  def compute(start: jax.Array | int, count: int) -> tuple[Rows, Sums]:
    part = partial(lax.dynamic_slice_in_dim, start_index=start, slice_size=count, axis=1)
    return jax.vmap(function)(*jax.tree.map(part, grouped))

  def add(total: tuple[Rows, Sums], start: jax.Array | int, count: int) -> tuple[Rows, Sums]:
    new = compute(start, count)
    write = partial(lax.dynamic_update_slice_in_dim, start_index=start, axis=1)
    return jax.tree.map(write, total[0], new[0]), jax.tree.map(jnp.add, total[1], new[1])

  steps, rest = divmod(each, chunk)
  new_rows, new_sums = jax.eval_shape(lambda: compute(0, chunk))
  total = (
    jax.tree.map(lambda x: jnp.zeros((groups, each, *x.shape[2:]), x.dtype), new_rows),
    jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), new_sums),
  )
  starts = chunk * jnp.arange(steps)
  total, _ = lax.scan(lambda total, start: (add(total, start, chunk), None), total, starts)
  if rest:
    total = add(total, steps * chunk, rest)
  return (
    jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), total[0]),
    jax.tree.map(lambda x: x.sum(0), total[1]),
  )


def _chunk(rows: int, most: int) -> int:
  """The largest divisor of `rows` up to `most`, or `most` itself where that is less than half of it."""
  divisor = max(n for n in range(1, most + 1) if rows % n == 0)
  return divisor if 2 * divisor > most else most


Losses = dict[str, jax.Array]


def mean_over_chunks(
  function: Callable[[Any, Rows, Rows], Losses], size: int, shared: Any, rows: Rows, targets: Rows
) -> Losses:
  """Means {name: scalar} of the losses {name: [N]} that `function(shared, rows, targets)` gives, row by row.

  With gradients for `shared` and `rows`, none for `targets`. On the CPU the gradients are computed with the losses, chunk by
  chunk of about `size` rows: a chunk's activations are used while they are in the cache, and those of a batch never exist.
  """
  if on_cpu():
    return _mean(function, size, shared, rows, targets)
  return jax.tree.map(jnp.mean, function(shared, rows, targets))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _mean(function: Callable[..., Losses], size: int, shared: Any, rows: Rows, targets: Rows) -> Losses:
  sums = over_chunks(lambda *part: ((), jax.tree.map(jnp.sum, function(shared, *part))), size, rows, targets)[1]
  return _over_batch(sums, rows)


def _mean_forward(
  function: Callable[..., Losses], size: int, shared: Any, rows: Rows, targets: Rows
) -> tuple[Losses, tuple[dict[str, Sums], dict[str, Rows]]]:
  def forward_and_backward(rows: Rows, targets: Rows) -> tuple[dict[str, Rows], tuple[Losses, dict[str, Sums]]]:
    losses, pull = jax.vjp(lambda *of: jax.tree.map(jnp.sum, function(*of, targets)), shared, rows)
    pulled = {name: pull({other: jnp.float32(other == name) for other in losses}) for name in losses}
    by_shared, by_row = ({name: pair[i] for name, pair in pulled.items()} for i in range(2))
    return by_row, (losses, by_shared)

  by_row, (losses, by_shared) = over_chunks(forward_and_backward, size, rows, targets)
  return _over_batch(losses, rows), (_over_batch(by_shared, rows), _over_batch(by_row, rows))


def _mean_backward(
  function: Callable[..., Losses], size: int, saved: tuple[dict[str, Sums], dict[str, Rows]], weights: Losses
) -> tuple[Sums, Rows, None]:
  def weighted(gradients: dict[str, Any]) -> Any:
    parts = [jax.tree.map(lambda x, w=weights[name]: (x * w).astype(x.dtype), part) for name, part in gradients.items()]
    return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *parts)

  return *map(weighted, saved), None


_mean.defvjp(_mean_forward, _mean_backward)


def _over_batch(sums: Any, rows: Rows) -> Any:
  batch = jax.tree.leaves(rows)[0].shape[0]
  return jax.tree.map(lambda x: x / batch, sums)
