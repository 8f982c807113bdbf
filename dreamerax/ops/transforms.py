"""Invertible squashing functions."""

import jax
import jax.numpy as jnp


def symlog(x: jax.Array) -> jax.Array:
  """sign(x) ln(1 + |x|): compresses large magnitudes of either sign, the identity near zero (Hafner et al. 2023, Eq. 9)."""
  return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: jax.Array) -> jax.Array:
  """sign(x) (exp(|x|) - 1): the inverse of `symlog`."""
  return jnp.sign(x) * jnp.expm1(jnp.abs(x))
