"""Plans judged by an ensemble, beside loops over its members."""

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.behavior.planners.base import Problem
from dreamerax.behavior.planners.members import over_members
from dreamerax.behavior.planners.mppi import MPPI

MEMBERS, PLANS, HORIZON = 3, 5, 4
GAINS = np.array([0.5, 1.0, -0.25], np.float32)  # how far the first action moves the point, a member each
START = np.array([0.3, -0.2], np.float32)


def problem(member, value=None):
  def expect(states, actions):
    return {"x": 0.9 * states["x"] + jnp.asarray(GAINS)[member] * actions}

  return Problem(
    start={"x": jnp.asarray(START)},
    step=lambda states, actions, key: expect(states, actions),
    expect=expect,
    reward=lambda states: states["x"][:, 0] - jnp.square(states["x"]).sum(-1),
    value=value,
    discount=0.9,
  )


def score(plan, gain):
  x, total = np.float64(START), 0.0
  for h, action in enumerate(np.float64(plan)):
    x = 0.9 * x + gain * action
    total += 0.9**h * (x[0] - (x**2).sum())
  return total + 0.9 ** len(plan) * 2 * x[1]


def test_a_score_is_the_mean_over_the_members_each_followed_by_itself():
  plans = np.random.default_rng(0).uniform(-1, 1, (PLANS, HORIZON, 2)).astype(np.float32)
  whole = over_members(lambda k: problem(k, lambda states: 2 * states["x"][:, 1]), MEMBERS)
  found = whole.score(jnp.asarray(plans), jax.random.key(0))
  expected = [np.mean([score(plan, gain) for gain in GAINS]) for plan in plans]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_members_draw_apart():
  """Of one member three times over: were the draws shared, the mean would deviate as one draw does."""

  def noisy(member):
    def step(states, actions, key):
      return {"x": states["x"] + jax.random.normal(key, states["x"].shape)}

    return problem(member)._replace(step=step, reward=lambda states: states["x"][:, 0])

  plans = jnp.zeros((4000, 1, 2))
  scores = over_members(noisy, MEMBERS).score(plans, jax.random.key(0))
  np.testing.assert_allclose(scores.std(), MEMBERS**-0.5, rtol=0.05)


def test_mean_steps_are_those_of_each_member():
  whole = over_members(problem, MEMBERS)
  assert whole.value is None
  states = {"x": np.random.default_rng(0).normal(size=(PLANS, MEMBERS, 2)).astype(np.float32)}
  actions = np.random.default_rng(1).normal(size=(PLANS, 2)).astype(np.float32)
  found = whole.expect(states, actions)["x"]
  for member, gain in enumerate(GAINS):
    np.testing.assert_allclose(found[:, member], 0.9 * states["x"][:, member] + gain * actions, rtol=1e-5)


def test_a_planner_finds_what_is_best_for_the_mean():
  """Of one step: the mean reward is quadratic in the action, and its top is known."""
  a, b = GAINS.astype(np.float64), 0.9 * START.astype(np.float64)
  best = np.array([(a * (1 - 2 * b[0])).mean(), (a * -2 * b[1]).mean()]) / (2 * (a**2).mean())
  planner, whole = MPPI(1, candidates=200, elites=30, iterations=8), over_members(problem, MEMBERS)
  plan = jax.jit(lambda key: planner.plan(key, whole, jnp.zeros((1, 2))))(jax.random.key(0))
  np.testing.assert_allclose(plan[0], best.clip(-1, 1), atol=0.03)
