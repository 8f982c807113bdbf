"""Refits a Gaussian over plans to the best of its candidates, again and again, as CEM and MPPI both do."""

import abc
from collections.abc import Callable
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.behavior.planners.base import Planner, Problem

Belief = tuple[jax.Array, jax.Array]  # mean and standard deviation [H, A]


@dataclass(frozen=True)
class ElitePlanner(Planner):
  """Draws candidates, clipped to [-1, 1], keeps the best; subclasses say where it begins and how it is refitted."""

  candidates: int = 1000  # per iteration
  elites: int = 100  # best candidates
  iterations: int = 10

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "candidates", "elites", "iterations")
    if self.elites > self.candidates:
      raise ValueError(f"elites={self.elites} exceeds candidates={self.candidates}: lower elites or raise candidates")

  @abc.abstractmethod
  def refit(self, elites: jax.Array, scores: jax.Array) -> Belief:
    """The next Gaussian. elites: [K, H, A], clipped: what was tried. scores: [K], the best first."""

  def search(
    self, key: jax.Array, problem: Problem, start: Belief, smooth: Callable[[jax.Array], jax.Array] | None = None
  ) -> jax.Array:
    """The mean [H, A] after the last iteration.

    Args:
      smooth: drawn plans [N, H, A] -> the candidates; None takes them as drawn.
    """

    def iterate(belief: Belief, key: jax.Array) -> tuple[Belief, None]:
      mean, std = belief
      draw_key, rollout_key = jax.random.split(key)
      noise = jax.random.normal(draw_key, (self.candidates, *mean.shape), mean.dtype)
      drawn = mean + std * noise  # [N, H, A]
      plans = jnp.clip(drawn if smooth is None else smooth(drawn), -1, 1)
      scores, best = jax.lax.top_k(problem.score(plans, rollout_key), self.elites)
      return self.refit(plans[best], scores), None

    chex.assert_shape(start[0], (self.horizon, None))
    (mean, _), _ = jax.lax.scan(iterate, start, jax.random.split(key, self.iterations))
    return mean
