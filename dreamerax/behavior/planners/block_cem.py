"""The cross-entropy method over a few actions, each held for some steps, with a full covariance."""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.behavior.planners.base import Planner, Problem

_VARIANCE_FLOOR = 1e-6  # added to the diagonal of the elites' covariance


@dataclass(frozen=True)
class BlockCEM(Planner):
  """The planner of visual foresight (Finn and Levine 2017): refits a Gaussian over plans with all their covariances.

  A plan is made of blocks of `repeat` equal actions. Every call starts from mean zero, and returns the best candidate of
  the last iteration.
  """

  horizon: int = 15  # agent steps
  repeat: int = 3  # agent steps that an action is held
  candidates: int = 200  # per iteration
  elites: int = 10  # best candidates
  iterations: int = 3
  initial_std: float = 1.0

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "repeat", "candidates", "iterations")
    checks.at_least(2, self, "elites")
    checks.more_than_zero(self, "initial_std")
    if self.horizon % self.repeat:
      raise ValueError(f"horizon={self.horizon} must be a multiple of repeat={self.repeat}")
    if self.elites > self.candidates:
      raise ValueError(f"elites={self.elites} exceeds candidates={self.candidates}: lower elites or raise candidates")

  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    chex.assert_shape(previous, (self.horizon, None))
    blocks, size = self.horizon // self.repeat, previous.shape[1]

    def iterate(belief: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
      mean, root = belief  # [D], [D, D]
      draw_key, score_key = jax.random.split(key)
      noise = jax.random.normal(draw_key, (self.candidates, mean.size), mean.dtype)
      drawn = jnp.clip(mean + noise @ root.T, -1, 1)  # [N, D]
      plans = jnp.repeat(drawn.reshape(-1, blocks, size), self.repeat, 1)  # [N, H, A]
      _, best = jax.lax.top_k(problem.score(plans, score_key), self.elites)
      return refit(drawn[best]), plans[best[0]]

    start = jnp.zeros(blocks * size), self.initial_std * jnp.eye(blocks * size)
    _, best = jax.lax.scan(iterate, start, jax.random.split(key, self.iterations))
    return best[-1]


def refit(elites: jax.Array) -> tuple[jax.Array, jax.Array]:
  """[K, D] -> mean [D] and the root [D, D] of the covariance: it times its transpose."""
  mean = elites.mean(0)
  apart = elites - mean
  covariance = apart.T @ apart / len(elites) + _VARIANCE_FLOOR * jnp.eye(mean.size)
  return mean, jnp.linalg.cholesky(covariance)
