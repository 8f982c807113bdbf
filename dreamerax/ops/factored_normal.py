"""The Gaussian over vectors whose covariance is given by a factor, which linear maps move as they move the mean."""

import math

import jax
import jax.numpy as jnp


class FactoredNormal:
  """N(mean, L L^T) in float32; L is any square matrix that is not singular.

  Under x -> A x + b the factor becomes A L, whatever A's rank of change: no square root is taken again.
  """

  def __init__(self, mean: jax.Array, factor: jax.Array):
    """mean [..., n], factor [..., n, n]."""
    self._mean, self._factor = mean.astype(jnp.float32), factor.astype(jnp.float32)

  def sample(self, *, seed: jax.Array) -> jax.Array:
    return self._mean + _times(self._factor, jax.random.normal(seed, self._mean.shape))

  def mean(self) -> jax.Array:
    return self._mean

  def mode(self) -> jax.Array:
    return self._mean

  def log_prob(self, value: jax.Array) -> jax.Array:
    standard = jnp.linalg.solve(self._factor, (value - self._mean)[..., None])[..., 0]
    size = self._mean.shape[-1]
    return -0.5 * jnp.square(standard).sum(-1) - _log_volume(self._factor) - 0.5 * size * math.log(2 * math.pi)

  def entropy(self) -> jax.Array:
    return _log_volume(self._factor) + 0.5 * self._mean.shape[-1] * math.log(2 * math.pi * math.e)

  def kl_divergence(self, other: "FactoredNormal") -> jax.Array:
    """In nats, with |det L| as the volume: a factor may turn space inside out."""
    gap = (self._mean - other._mean)[..., None]
    relative = jnp.linalg.solve(other._factor, jnp.concatenate([self._factor, gap], -1))  # [..., n, n + 1]
    squares = jnp.square(relative).sum((-2, -1))
    return 0.5 * (squares - self._mean.shape[-1]) + _log_volume(other._factor) - _log_volume(self._factor)


def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  return jnp.einsum("...ij,...j->...i", matrix, vector, precision="highest")


def _log_volume(factor: jax.Array) -> jax.Array:
  return jnp.linalg.slogdet(factor)[1]
