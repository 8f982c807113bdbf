"""Gradient ascent on the actions."""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import optax

from dreamerax import checks
from dreamerax.behavior.planners.base import Planner, Problem, shift


@dataclass(frozen=True)
class GradientPlanner(Planner):
  """Improves several plans at once by Adam (Kingma & Ba 2015) through their rollouts, and takes the best.

  The first plan is the rest of the previous one, the others are uniform random; all are clipped to [-1, 1] after each step.
  Needs steps that are differentiable in the actions: samples reparameterised, or straight-through.
  """

  candidates: int = 16
  iterations: int = 40
  learning_rate: float = 0.1  # about how far an action moves in one iteration; its range is 2

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "candidates", "iterations")
    checks.more_than_zero(self, "learning_rate")

  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    chex.assert_shape(previous, (self.horizon, None))
    draw_key, ascent_key, final_key = jax.random.split(key, 3)
    optimizer = optax.adam(self.learning_rate)

    def loss(plans: jax.Array, key: jax.Array) -> jax.Array:
      """A sum, not a mean: each plan's gradient is that of its own score, whatever their number."""
      return -problem.score(plans, key).sum()

    def ascend(carry: tuple[jax.Array, optax.OptState], key: jax.Array):
      plans, state = carry
      updates, state = optimizer.update(jax.grad(loss)(plans, key), state)
      plans = optax.projections.projection_box(optax.apply_updates(plans, updates), -1, 1)
      return (plans, state), None

    shape = (self.candidates - 1, *previous.shape)
    drawn = jax.random.uniform(draw_key, shape, previous.dtype, minval=-1, maxval=1)
    plans = jnp.concatenate([shift(previous)[None], drawn])  # [N, H, A]
    keys = jax.random.split(ascent_key, self.iterations)
    (plans, _), _ = jax.lax.scan(ascend, (plans, optimizer.init(plans)), keys)
    return plans[problem.score(plans, final_key).argmax()]
