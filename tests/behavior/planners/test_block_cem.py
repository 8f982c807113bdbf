"""The cross-entropy method over held actions: what it promises, and its full covariance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.behavior.planners.base import Problem
from dreamerax.behavior.planners.block_cem import BlockCEM, refit
from tests.contracts.planner import SamplingPlannerContract


class TestBlockCEM(SamplingPlannerContract):
  def make(self, horizon):
    return BlockCEM(horizon=horizon, repeat=1, candidates=64, elites=8, iterations=4)


def test_actions_are_held_and_the_best_candidate_is_returned():
  """The scored plans are kept: what comes back is the best of the last iteration."""
  planner, tried = BlockCEM(horizon=4, repeat=2, candidates=16, elites=4, iterations=2), []

  class Kept(Problem):
    def score(self, plans, key):
      scores = -jnp.square(plans.sum(1) - jnp.array([2.0, -1.0])).sum(-1)
      jax.debug.callback(lambda *each: tried.append(each), plans, scores, ordered=True)
      return scores

  nothing = Kept(jnp.zeros(2), lambda *_: None, lambda *_: None, lambda *_: None)
  plan = jax.jit(lambda key: planner.plan(key, nothing, jnp.zeros((4, 2))))(jax.random.key(0))
  jax.effects_barrier()
  np.testing.assert_array_equal(plan[0::2], plan[1::2])
  assert len(tried) == 2
  plans, scores = tried[-1]
  np.testing.assert_array_equal(plan, plans[scores.argmax()])


def test_what_the_elites_have_in_common_is_drawn_together():
  """The sum of two blocks is told to be 1, and no block by itself: a diagonal Gaussian would draw them apart."""
  planner, tried = BlockCEM(horizon=2, repeat=1, candidates=400, elites=40, iterations=3, initial_std=0.5), []

  class Kept(Problem):
    def score(self, plans, key):
      jax.debug.callback(lambda each: tried.append(each), plans[..., 0], ordered=True)
      return -jnp.square(plans.sum((1, 2)) - 1.0)

  nothing = Kept(jnp.zeros(1), lambda *_: None, lambda *_: None, lambda *_: None)
  jax.jit(lambda key: planner.plan(key, nothing, jnp.zeros((2, 1))))(jax.random.key(0))
  jax.effects_barrier()
  first, second, last = (np.corrcoef(plans.T)[0, 1] for plans in tried)
  assert abs(first) < 0.15 and second < -0.75 and last < -0.75
  assert tried[-1].std(0).min() > 0.1  # where the score says nothing, the plans stay apart


def test_the_gaussian_has_the_covariance_of_the_elites():
  elites = np.random.default_rng(0).normal(size=(50, 3)) @ np.array([[1, 0.9, 0], [0, 0.1, 0], [0, 0, 2]])
  mean, root = refit(jnp.asarray(elites))
  np.testing.assert_allclose(mean, elites.mean(0), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(root @ root.T, np.cov(elites.T, bias=True), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"horizon": 8}, "horizon=8 must be a multiple of repeat=3"),
    ({"elites": 1}, "elites=1 must be at least 2"),
    ({"candidates": 5}, "elites=10 exceeds candidates=5"),
  ],
)
def test_figures_that_make_no_sense_are_refused(fields: dict, message: str):
  with pytest.raises(ValueError, match=message):
    BlockCEM(**fields)
