"""The cross-entropy method."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.behavior.planners.base import Problem
from dreamerax.behavior.planners.elites import Belief, ElitePlanner

# Added to the elites' variance, as published: keeps the deviation at 0.001 or more.
_VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class CEM(ElitePlanner):
  """PlaNet's planner (Hafner et al. 2019, Algorithm 2): refits a Gaussian over plans to the best candidates, again and again.

  Returns the last mean. Every call starts from mean zero: `previous` gives no more than the shape.
  """

  initial_std: float = 1.0

  def __post_init__(self):
    super().__post_init__()
    checks.more_than_zero(self, "initial_std")

  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    start = jnp.zeros_like(previous), jnp.full_like(previous, self.initial_std)
    return self.search(key, problem, start)

  def refit(self, elites: jax.Array, scores: jax.Array) -> Belief:
    return elites.mean(0), jnp.sqrt(elites.var(0) + _VARIANCE_FLOOR)
