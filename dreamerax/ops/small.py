"""Factors of small matrices in plain arithmetic: exported policies may hold it, where they may not call a library."""

import jax
import jax.numpy as jnp


def cholesky(matrix: jax.Array) -> jax.Array:
  """The lower factor L [..., n, n] of symmetric positive definite matrices L Lᵀ; NaN where one is not. Unrolled over n."""
  columns: list[jax.Array] = []
  for j in range(matrix.shape[-1]):
    column = matrix[..., j]
    for before in columns:
      column = column - before * before[..., j, None]
    column = column * jax.lax.rsqrt(column[..., j, None])
    columns.append(jnp.where(jnp.arange(matrix.shape[-1]) < j, 0, column))
  return jnp.stack(columns, -1)


def solve_lower(factor: jax.Array, right: jax.Array) -> jax.Array:
  """L⁻¹ B [..., n, m] of a lower factor [..., n, n] and B [..., n, m]. Unrolled over n."""
  rows: list[jax.Array] = []
  for i in range(factor.shape[-1]):
    row = right[..., i, :]
    for j, before in enumerate(rows):
      row = row - factor[..., i, j, None] * before
    rows.append(row / factor[..., i, i, None])
  return jnp.stack(rows, -2)
