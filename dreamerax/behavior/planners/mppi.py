"""Model predictive path integral control."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.behavior.planners.base import Problem, shift
from dreamerax.behavior.planners.elites import Belief, ElitePlanner

# Added to the deviation of the scores: all scores being equal is no reason to divide by zero.
_EPS = 1e-8


@dataclass(frozen=True)
class MPPI(ElitePlanner):
  """Model predictive path integral (Williams et al. 2017): the mean of the best candidates, weighted exponentially by score.

  The search goes on from the rest of the previous plan. As in TD-MPC (Hansen et al. 2022, Eq. 4) only elites have a weight
  and the deviation is refitted by the same weights, bounded from below; with `elites = candidates` and `min_std = std` all
  count and the deviation is fixed, as Williams et al. have it. Unlike both, scores are divided by their standard deviation
  over the elites, so that one temperature serves rewards of any scale, early in the search and late. Williams' control cost
  is left to the reward.

  With `smoothing` below 1, each action of a candidate is mixed with the one before it, the last executed one included (PDDM,
  Nagabandi et al. 2019): successive actions then agree, which moves bodies further than independent noise does. PDDM has one
  iteration, `elites = candidates` and `min_std = std`, and goes on from a plan whose last action is repeated; here it is 0.
  """

  candidates: int = 512  # per iteration
  elites: int = 64  # best candidates, which alone have a weight
  iterations: int = 6
  temperature: float = 0.5  # in standard deviations of the elites' scores; towards 0 the best candidate decides alone
  std: float = 1.0  # of the first candidates around the previous plan, and the largest later
  min_std: float = 0.05
  smoothing: float = 1.0  # share of its own draw in each action of a candidate; the rest is the action before it

  def __post_init__(self):
    super().__post_init__()
    checks.more_than_zero(self, "temperature", "std")
    checks.between(0, self.std, self, "min_std")
    checks.more_than_zero(self, "smoothing")
    checks.between(0, 1, self, "smoothing")

  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    start = shift(previous), jnp.full_like(previous, self.std)
    smooth = None if self.smoothing == 1 else lambda drawn: self._smooth(drawn, previous[0])
    return jnp.clip(self.search(key, problem, start, smooth), -1, 1)  # the weights' sum is 1 but for rounding

  def refit(self, elites: jax.Array, scores: jax.Array) -> Belief:
    weights = self._weights(scores)[:, None, None]  # [K, 1, 1]
    mean = (weights * elites).sum(0)  # no matrix product: accelerators round those
    std = jnp.sqrt((weights * jnp.square(elites - mean)).sum(0))
    return mean, jnp.clip(std, self.min_std, self.std)

  def _weights(self, scores: jax.Array) -> jax.Array:
    """The elites' scores -> their weights, whose sum is 1."""
    return jax.nn.softmax((scores - scores.max()) / (self.temperature * (scores.std() + _EPS)))

  def _smooth(self, drawn: jax.Array, executed: jax.Array) -> jax.Array:
    """Mixes each action of the plans [N, H, A] with the one before it; before the first comes the executed one [A]."""

    def mix(before: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
      mixed = jnp.clip(self.smoothing * action + (1 - self.smoothing) * before, -1, 1)
      return mixed, mixed

    start = jnp.broadcast_to(executed, (drawn.shape[0], drawn.shape[2]))
    return jax.lax.scan(mix, start, drawn.swapaxes(0, 1))[1].swapaxes(0, 1)
