"""Invertible squashing functions."""

import jax
import jax.numpy as jnp


def symlog(x: jax.Array) -> jax.Array:
  """sign(x) ln(1 + |x|): compresses large magnitudes of either sign, the identity near zero (Hafner et al. 2023, Eq. 9)."""
  return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: jax.Array) -> jax.Array:
  """sign(x) (exp(|x|) - 1): the inverse of `symlog`."""
  return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def dither(image: jax.Array, bits: int, key: jax.Array) -> jax.Array:
  """uint8 [...] -> float32 in [0, 255): cut to its highest `bits` bits, with uniform noise in the range of what was cut off.

  PlaNet's images (Hafner et al. 2019, appendix A). Its code divides by 256 where images are divided by 255 here; the factor
  makes both agree.
  """
  step = 2 ** (8 - bits)
  coarse = jnp.floor(image.astype(jnp.float32) / step) * step
  return (coarse + step * jax.random.uniform(key, image.shape)) * (255 / 256)


def mean_where(values: jax.Array, counted: jax.Array) -> jax.Array:
  """The mean over those entries that are counted, a mask of the same shape; 0 where none is."""
  return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)
