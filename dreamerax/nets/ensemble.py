"""Several networks of one structure as one: their parameters are stacked, and one call computes all."""

from collections.abc import Callable
from typing import Generic, TypeVar

import jax
from flax import nnx

from dreamerax.nets.modules import params_of, with_params

Member = TypeVar("Member", bound=nnx.Module)


class Ensemble(nnx.Module, Generic[Member]):
  """`members` networks that start from different parameters, each of which is an array [K, ...] of all members."""

  def __init__(self, build: Callable[[nnx.Rngs], Member], members: int, *, rngs: nnx.Rngs):
    """build: makes one member."""
    keys = jax.random.split(rngs.params(), members)
    params = jax.vmap(lambda key: params_of(build(nnx.Rngs(params=key))))(keys)
    self.stacked = with_params(nnx.eval_shape(lambda: build(nnx.Rngs(params=jax.random.key(0)))), params)

  def __call__(self, *inputs: jax.Array) -> jax.Array:
    """Applies every member to the same inputs: [K, ...]."""
    return jax.vmap(lambda params: with_params(self.stacked, params)(*inputs))(params_of(self.stacked))  # type: ignore[operator]
