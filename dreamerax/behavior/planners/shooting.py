"""Random shooting."""

from dataclasses import dataclass

import chex
import jax

from dreamerax import checks
from dreamerax.behavior.planners.base import Planner, Problem


@dataclass(frozen=True)
class Shooting(Planner):
  """Scores uniform random plans and takes the best; `previous` gives no more than the shape."""

  candidates: int = 1000

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "candidates")

  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    chex.assert_shape(previous, (self.horizon, None))
    draw_key, rollout_key = jax.random.split(key)
    shape = (self.candidates, *previous.shape)
    plans = jax.random.uniform(draw_key, shape, previous.dtype, minval=-1, maxval=1)  # [N, H, A]
    return plans[problem.score(plans, rollout_key).argmax()]
