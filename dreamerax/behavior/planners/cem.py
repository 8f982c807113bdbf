"""The cross-entropy method."""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from dreamerax.behavior.planners.base import Objective, Planner, Rollout, score
from dreamerax.ops import checks

# Added to the elites' variance, as published: keeps the deviation at 0.001 or more.
_VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class CEM(Planner):
  """PlaNet's planner (Hafner et al. 2019, Algorithm 2): refits a Gaussian over plans to the best candidates, again and again.

  Returns the last mean. Every call starts from mean zero: `previous` gives no more than the shape.
  """

  candidates: int = 1000  # per iteration
  elites: int = 100  # best candidates, which the next Gaussian is fitted to
  iterations: int = 10
  initial_std: float = 1.0

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "candidates", "elites", "iterations")
    checks.more_than_zero(self, "initial_std")
    if self.elites > self.candidates:
      raise ValueError(f"elites={self.elites} exceeds candidates={self.candidates}: lower elites or raise candidates")

  def plan(self, key: jax.Array, rollout: Rollout, objective: Objective, previous: jax.Array) -> jax.Array:
    chex.assert_shape(previous, (self.horizon, None))

    def refit(belief: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
      mean, std = belief
      draw_key, rollout_key = jax.random.split(key)
      noise = jax.random.normal(draw_key, (self.candidates, *mean.shape), mean.dtype)
      plans = jnp.clip(mean + std * noise, -1, 1)  # [N, H, A]
      _, best = jax.lax.top_k(score(rollout_key, rollout, objective, plans), self.elites)
      elites = plans[best]  # [elites, H, A], clipped: the Gaussian is fitted to what was tried
      return (elites.mean(0), jnp.sqrt(elites.var(0) + _VARIANCE_FLOOR)), None

    start = jnp.zeros_like(previous), jnp.full_like(previous, self.initial_std)
    (mean, _), _ = jax.lax.scan(refit, start, jax.random.split(key, self.iterations))
    return mean
