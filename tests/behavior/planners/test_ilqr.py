"""iLQR where the best plan is known by bounded least squares, and on a pendulum that has to swing before it stands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from dreamerax.behavior.planners.base import Problem
from dreamerax.behavior.planners.ilqr import ILQR
from tests.contracts.planner import PlannerContract


class TestILQR(PlannerContract):
  def make(self, horizon):
    return ILQR(horizon, candidates=2, iterations=3)


# A double integrator in a plane, two forces, to be brought to rest from far away: most forces are at their limits.
STEPS, DISCOUNT, EFFORT = 10, 0.97, 0.02
MOVE = np.kron([[1, 0.5], [0, 1]], np.eye(2))
PUSH = np.kron([[0.125], [0.5]], [[1, 0.4], [0, 1]])
WEIGHTS, LAST = np.diag([1, 1, 0.1, 0.1]) ** 0.5, np.diag([3, 3, 1, 1]) ** 0.5
AWAY = np.array([2.0, -1.0, 0.3, 0.0])


def best_forces():
  """[STEPS, 2] by least squares over all forces in [-1, 1] at once."""
  rows, target, by_forces, state = [], [], np.zeros((4, 2 * STEPS)), AWAY
  for t in range(STEPS):
    by_forces, state = MOVE @ by_forces, MOVE @ state
    by_forces[:, 2 * t : 2 * t + 2] += PUSH
    rows.append(DISCOUNT ** (t / 2) * WEIGHTS @ by_forces)
    target.append(-(DISCOUNT ** (t / 2)) * WEIGHTS @ state)
  rows.append(DISCOUNT ** (STEPS / 2) * LAST @ by_forces)
  target.append(-(DISCOUNT ** (STEPS / 2)) * LAST @ state)
  rows.append(np.sqrt(EFFORT / 2) * np.eye(2 * STEPS))
  target.append(np.zeros(2 * STEPS))
  solution = scipy.optimize.lsq_linear(np.concatenate(rows), np.concatenate(target), (-1, 1), tol=1e-14)
  return solution.x.reshape(STEPS, 2)


def quadratic(weights, x):
  return -jnp.square(x @ weights.T).sum(-1)


def integrate(states, forces):
  return states @ MOVE.T + forces @ PUSH.T


INTEGRATOR = Problem(
  start=jnp.asarray(AWAY, jnp.float32),
  step=lambda states, forces, key: integrate(states, forces),
  expect=integrate,
  reward=lambda states: quadratic(WEIGHTS, states),
  value=lambda states: quadratic(LAST, states),
  discount=DISCOUNT,
)


def planned(planner, previous, problem=INTEGRATOR):
  plan = jax.jit(lambda key, previous: planner.plan(key, problem, previous))
  return plan(jax.random.key(0), jnp.asarray(previous, jnp.float32))


def test_a_linear_quadratic_problem_with_limits_is_solved_as_by_bounded_least_squares():
  best = best_forces()
  assert 0.2 < (np.abs(best) > 0.999).mean() < 0.8
  planner = ILQR(STEPS, candidates=1, iterations=10, action_cost=EFFORT, damping=0)
  np.testing.assert_allclose(planned(planner, np.zeros((STEPS, 2))), best, atol=2e-3)


def test_a_weight_of_the_last_reward_is_as_much_value_of_the_last_state():
  planner, nothing = ILQR(STEPS, candidates=1, iterations=10, action_cost=EFFORT, damping=0), np.zeros((STEPS, 2))
  weighted = INTEGRATOR._replace(final_weight=20.0, value=None)
  valued = INTEGRATOR._replace(value=lambda states: 19 / DISCOUNT * quadratic(WEIGHTS, states))
  found = planned(planner, nothing, weighted)
  np.testing.assert_allclose(found, planned(planner, nothing, valued), atol=1e-4)
  assert np.abs(found - planned(planner, nothing, weighted._replace(final_weight=1.0))).max() > 0.02


def test_it_goes_on_from_the_rest_of_the_previous_plan():
  """Which is the best there is, and so stays; without it one iteration does not get there."""
  best = best_forces()
  previous = np.concatenate([[[0, 0]], best[:-1]])
  previous[-1] = best[-2]
  planner = ILQR(STEPS, candidates=1, iterations=1, action_cost=EFFORT, damping=0)
  near, far = (np.abs(planned(planner, start) - best).max() for start in (previous, 0 * previous))
  assert near < 0.1 * far


def swing(states, torque):
  """gymnasium's Pendulum-v1: a rod of 1 m and 1 kg, 20 steps a second, torque up to 2 Nm where 5 would hold it level."""
  angle, speed = states["angle"], states["speed"]
  speed = jnp.clip(speed + 0.05 * (15 * jnp.sin(angle) + 3 * 2 * torque), -8, 8)
  return {"angle": angle + 0.05 * speed, "speed": speed}


def test_a_pendulum_swings_up_and_stays_there():
  """With true dynamics, planning anew at each step; too weak to be lifted straight, it has to swing back first."""
  planner = ILQR(30, candidates=16, iterations=4)

  def decide(carry, key):
    state, previous = carry
    problem = Problem(
      start=state,
      step=lambda states, actions, key: swing(states, actions[:, :1]),
      expect=lambda states, actions: swing(states, actions[:, :1]),
      reward=lambda states: (jnp.cos(states["angle"]) - 0.01 * jnp.square(states["speed"]))[:, 0],
    )
    plan = planner.plan(key, problem, previous)
    return (swing(state, plan[0]), plan), (jnp.cos(state["angle"][0]), plan[0, 0])

  hanging = {"angle": jnp.full(1, jnp.pi), "speed": jnp.zeros(1)}
  keys = jax.random.split(jax.random.key(0), 100)
  _, (height, torque) = jax.jit(lambda: jax.lax.scan(decide, (hanging, jnp.zeros((30, 1))), keys))()
  assert height[0] == -1 and height[-30:].min() > 0.99
  assert np.abs(torque).max() == 1 and torque.min() < -0.5 < 0.5 < torque.max()


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: ILQR(candidates=0), "candidates=0 must be at least 1"),
    (lambda: ILQR(iterations=0), "iterations=0 must be at least 1"),
    (lambda: ILQR(action_cost=0), "action_cost=0 must be more than 0"),
    (lambda: ILQR(damping=-1), "damping=-1 must be at least 0"),
  ],
)
def test_what_makes_no_sense_is_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("always", [False, True])
def test_plans_that_lead_beyond_all_numbers_are_worth_nothing(always: bool):
  """As in a model that has learned little: a push to the right, or any, multiplies the state by 1e30."""

  def explode(states, forces):
    return jnp.where(always | (forces > 0), 1e30, 0.9) * (states + 1.0)

  problem = Problem(
    start=jnp.ones(1),
    step=lambda states, forces, key: explode(states, forces),
    expect=explode,
    reward=lambda states: -jnp.square(states).sum(-1),
  )
  planner = ILQR(3, candidates=64, iterations=2)
  plan = jax.jit(lambda key: planner.plan(key, problem, jnp.full((3, 1), 0.5)))(jax.random.key(0))
  assert np.isfinite(plan).all() and np.abs(plan).max() <= 1
  if not always:
    assert (plan <= 0).all()
