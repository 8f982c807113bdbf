"""The matrix by which objectives without a decoder compare features with embeddings."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.nets.blocks import unit_trunc_normal
from dreamerax.world_model.objectives.base import Sizes


class Projection(nnx.Module):
  """Features to the length of an embedding, without bias."""

  def __init__(self, sizes: Sizes, *, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.kernel = nnx.Param(unit_trunc_normal(rngs.params(), (sizes.features, sizes.embed), jnp.float32))

  def __call__(self, features: jax.Array, embed: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Features [B, T, F] projected, and embed [B, T, E] without gradient: float32 [B T, E] both, row by row of one step."""
    projected = features.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
    return _rows(projected), _rows(jax.lax.stop_gradient(embed))


def _rows(x: jax.Array) -> jax.Array:
  return x.reshape(-1, x.shape[-1]).astype(jnp.float32)
