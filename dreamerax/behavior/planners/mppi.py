"""Model predictive path integral control."""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from dreamerax.behavior.planners.base import Objective, Planner, Rollout, score, shift
from dreamerax.ops import checks

# Added to the deviation of the scores: all scores being equal is no reason to divide by zero.
_EPS = 1e-8


@dataclass(frozen=True)
class MPPI(Planner):
  """Model predictive path integral (Williams et al. 2017): the mean of the best candidates, weighted exponentially by score.

  The search goes on from the rest of the previous plan. As in TD-MPC (Hansen et al. 2022, Eq. 4) only elites have a weight
  and the deviation is refitted by the same weights, bounded from below; with `elites = candidates` and `min_std = std` all
  count and the deviation is fixed, as Williams et al. have it. Unlike both, scores are divided by their standard deviation
  over the elites, so that one temperature serves rewards of any scale, early in the search and late. Williams' control cost
  is left to the objective.
  """

  candidates: int = 512  # per iteration
  elites: int = 64  # best candidates, which alone have a weight
  iterations: int = 6
  temperature: float = 0.5  # in standard deviations of the elites' scores; towards 0 the best candidate decides alone
  std: float = 1.0  # of the first candidates around the previous plan, and the largest later
  min_std: float = 0.05

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "candidates", "elites", "iterations")
    checks.more_than_zero(self, "temperature", "std")
    checks.between(0, self.std, self, "min_std")
    if self.elites > self.candidates:
      raise ValueError(f"elites={self.elites} exceeds candidates={self.candidates}: lower elites or raise candidates")

  def plan(self, key: jax.Array, rollout: Rollout, objective: Objective, previous: jax.Array) -> jax.Array:
    chex.assert_shape(previous, (self.horizon, None))

    def reweight(belief: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
      mean, std = belief
      draw_key, rollout_key = jax.random.split(key)
      noise = jax.random.normal(draw_key, (self.candidates, *mean.shape), mean.dtype)
      plans = jnp.clip(mean + std * noise, -1, 1)  # [N, H, A]
      scores, best = jax.lax.top_k(score(rollout_key, rollout, objective, plans), self.elites)
      elites, weights = plans[best], self._weights(scores)[:, None, None]  # [elites, H, A], [elites, 1, 1]
      mean = (weights * elites).sum(0)  # no matrix product: accelerators round those
      std = jnp.sqrt((weights * jnp.square(elites - mean)).sum(0))
      return (mean, jnp.clip(std, self.min_std, self.std)), None

    start = shift(previous), jnp.full_like(previous, self.std)
    (mean, _), _ = jax.lax.scan(reweight, start, jax.random.split(key, self.iterations))
    return jnp.clip(mean, -1, 1)  # the weights' sum is 1 but for rounding

  def _weights(self, scores: jax.Array) -> jax.Array:
    """The elites' scores -> their weights, whose sum is 1."""
    return jax.nn.softmax((scores - scores.max()) / (self.temperature * (scores.std() + _EPS)))
