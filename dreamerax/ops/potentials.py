"""Gaussian potentials in information form, and the messages that they send back along a linear-Gaussian chain."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from dreamerax.ops.small import cholesky, solve_lower

# Accelerators round the factors of a product by default: too coarse for a Cholesky factor of the result.
_dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Potential(NamedTuple):
  """exp(-½ zᵀ J z + hᵀ z), a likelihood of z up to a factor: J may be singular, and is zero where nothing is known."""

  precision: jax.Array  # J [..., n, n], symmetric, without a negative part
  linear: jax.Array  # h [..., n]

  def __mul__(self, other: "Potential") -> "Potential":
    """What both say of the same z."""
    return Potential(self.precision + other.precision, self.linear + other.linear)


def before(after: Potential, turn: jax.Array, moved: jax.Array, deviation: jax.Array) -> Potential:
  """What a potential of z' = A z + b + noise says of z: the integral of N(z'; A z + b, D²) times the potential, over z'.

  Args:
    after: of z'.
    turn: A [n, n].
    moved: b [..., n].
    deviation: the diagonal of D [n], of the noise.
  """
  # (J⁻¹ + D²)⁻¹ = D⁻¹ (I + D J D)⁻¹ D J: no inverse of J, and a matrix that is never near to singular.
  scaled = deviation[:, None] * after.precision
  factor = jnp.linalg.cholesky(jnp.eye(len(deviation)) + scaled * deviation)
  both = jnp.concatenate([scaled, (deviation * after.linear)[..., None]], -1)
  both = cho_solve((factor, True), both) / deviation[:, None]
  precision, linear = (both[..., :-1] + both[..., :-1].mT) / 2, both[..., -1]
  linear = linear - _times(precision, moved)
  return Potential(_dot(turn.T, _dot(precision, turn)), _times(turn.T, linear))


def messages(own: Potential, turn: jax.Array, moved: jax.Array, deviation: jax.Array, is_first: jax.Array) -> Potential:
  """What all observations from a step on say of its state, but for those of other episodes.

  Args:
    own: of each step's observation, [T, B, ...].
    turn: A [n, n], and likewise `deviation` [n] as in `before`.
    moved: b [T, B, n] of the step into each state.
    is_first: [T, B]; what follows is another episode.
  """

  def step(later: Potential, inputs: tuple[Potential, jax.Array, jax.Array]) -> tuple[Potential, Potential]:
    own, moved, is_first = inputs
    here = own * later
    back = before(here, turn, moved, deviation)
    back = jax.tree.map(lambda x: jnp.where(is_first.reshape(-1, *[1] * (x.ndim - 1)), 0, x), back)
    return back, here

  nothing = jax.tree.map(lambda x: jnp.zeros_like(x[0]), own)
  return jax.lax.scan(step, nothing, (own, moved, is_first), reverse=True)[1]


def condition(mean: jax.Array, factor: jax.Array, potential: Potential) -> tuple[jax.Array, jax.Array]:
  """N(mean, L Lᵀ) times a potential, as a Gaussian: its mean [..., n] and a factor [..., n, n] of its covariance."""
  # (Q⁻¹ + J)⁻¹ = L (I + Lᵀ J L)⁻¹ Lᵀ: no inverse of Q either.
  inside = jnp.eye(mean.shape[-1]) + _dot(factor.mT, _dot(potential.precision, factor))
  found = solve_lower(cholesky(inside), factor.mT).mT
  away = potential.linear - _times(potential.precision, mean)
  return mean + _times(found, _times(found.mT, away)), found


def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  return _dot(matrix, vector[..., None])[..., 0]
