"""Planners where the best plan is known: by hand, from the tried candidates, or from a Riccati recursion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.behavior.planners.base import Problem, shift
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planners.gradient import GradientPlanner
from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planners.shooting import Shooting
from tests.contracts.planner import ACTION, HORIZON, STARTS, SamplingPlannerContract, compiled, keys

KEYS = 8
NOTHING = np.zeros((HORIZON, ACTION), np.float32)


class TestShooting(SamplingPlannerContract):
  def make(self, horizon):
    return Shooting(horizon, candidates=64)


class TestCEM(SamplingPlannerContract):
  def make(self, horizon):
    return CEM(horizon, candidates=32, elites=8, iterations=3)


class TestMPPI(SamplingPlannerContract):
  def make(self, horizon):
    return MPPI(horizon, candidates=32, elites=8, iterations=3)


class TestSmoothMPPI(SamplingPlannerContract):
  def make(self, horizon):
    return MPPI(horizon, candidates=32, elites=8, iterations=3, smoothing=0.7)


class TestGradientPlanner(SamplingPlannerContract):
  def make(self, horizon):
    return GradientPlanner(horizon, candidates=3, iterations=4, learning_rate=0.2)


def whole(objective, see=lambda plans: None):
  """A problem whose states remember the actions, and whose score is `objective` of whole plans [N, H, A].

  see: is shown the plans that were scored.
  """

  def expect(states, actions):
    rows = jnp.arange(len(actions))
    return {"t": states["t"] + 1, "plan": states["plan"].at[rows, states["t"]].set(actions)}

  def value(states):
    jax.debug.callback(lambda plans: see(np.asarray(plans)), states["plan"])
    return objective(states["plan"])

  return Problem(
    start={"t": jnp.zeros((), jnp.int32), "plan": jnp.zeros((HORIZON, ACTION))},
    step=lambda states, actions, key: expect(states, actions),
    expect=expect,
    reward=lambda states: jnp.zeros(len(states["t"])),
    value=value,
  )


# The bowl: the score falls with the squared distance to one plan.
BEST = np.random.default_rng(3).uniform(-0.9, 0.9, (HORIZON, ACTION)).astype(np.float32)


def bowl(plans):
  return -jnp.square(plans - BEST).sum((1, 2))


def distances(planner):
  """[KEYS] from the planned actions to the best ones, largest over the actions."""
  search = jax.vmap(lambda key: planner.plan(key, whole(bowl), jnp.asarray(NOTHING)))
  plans = jax.jit(search)(jax.random.split(jax.random.key(0), KEYS))
  return np.abs(plans - BEST).max((1, 2))


@pytest.mark.parametrize(
  "planner",
  [
    CEM(HORIZON, candidates=200, elites=20, iterations=8),
    MPPI(HORIZON, candidates=200, elites=30, iterations=8),
    GradientPlanner(HORIZON, candidates=2, iterations=60),
  ],
  ids=lambda planner: type(planner).__name__,
)
def test_the_bottom_of_a_bowl_is_found(planner):
  assert distances(planner).max() < 0.05


def test_shooting_gets_nearer_with_more_candidates():
  few, many = (distances(Shooting(HORIZON, candidates)).mean() for candidates in (10, 2000))
  assert many < 0.7 * few


# A double integrator to be brought to rest at 0: position and velocity, one force. Cost x'Qx + r u² at each arrival.
STEPS = 8
MOVE, PUSH = np.array([[1, 0.5], [0, 1]]), np.array([[0.125], [0.5]])
Q, EFFORT = np.diag([1, 0.1]), 0.3
AWAY = np.array([0.7, 0.0])


def riccati():
  """The best forces [STEPS, 1] from AWAY and their cost, by dynamic programming from the end."""
  gains, value = [], np.zeros((2, 2))
  for _ in range(STEPS):
    arrived = Q + value
    gain = np.linalg.solve(EFFORT + PUSH.T @ arrived @ PUSH, PUSH.T @ arrived @ MOVE)
    value = MOVE.T @ arrived @ (MOVE - PUSH @ gain)
    gains.append(gain)
  state, forces = AWAY, []
  for gain in reversed(gains):
    forces.append(-gain @ state)
    state = (MOVE - PUSH @ gain) @ state
  return np.array(forces), AWAY @ value @ AWAY


def cost(forces):
  """Of one plan [STEPS, 1], by simulation."""
  state, total = AWAY, 0.0
  for force in np.asarray(forces, np.float64):
    state = MOVE @ state + PUSH @ force
    total += state @ Q @ state + EFFORT * force @ force
  return total


def integrate(states, forces):
  return {"state": states["state"] @ MOVE.T + forces @ PUSH.T, "force": forces}


def thrift(states):
  effort = EFFORT * jnp.square(states["force"]).sum(1)
  return -jnp.einsum("ni,ij,nj->n", states["state"], Q, states["state"]) - effort


INTEGRATOR = Problem(
  start={"state": jnp.asarray(AWAY, jnp.float32), "force": jnp.zeros(1)},
  step=lambda states, forces, key: integrate(states, forces),
  expect=integrate,
  reward=thrift,
)


@functools.cache
def compiled_integrator(planner):
  return jax.jit(jax.vmap(lambda key, previous: planner.plan(key, INTEGRATOR, previous), (0, None)))


def costs(planner, previous=None):
  """[KEYS] costs of the planned forces, as multiples of the least possible."""
  previous = np.zeros((STEPS, 1)) if previous is None else previous
  plans = compiled_integrator(planner)(jax.random.split(jax.random.key(0), KEYS), np.float32(previous))
  return np.array([cost(plan) for plan in plans]) / riccati()[1]


@pytest.mark.parametrize(("discount", "final_weight"), [(1.0, 10.0), (0.9, 10.0), (0.9, 1.0), (0.9, 0.0)])
def test_the_last_reward_has_a_weight_of_its_own(discount: float, final_weight: float):
  """Beside its discount; the value of the last state is not touched by it."""
  plans = np.random.default_rng(0).uniform(-1, 1, (3, STEPS, 1)).astype(np.float32)
  problem = INTEGRATOR._replace(
    discount=discount, final_weight=final_weight, value=lambda states: 2 * jnp.ones(len(states["force"]))
  )
  expected = []
  for plan in plans:
    states, total = jax.tree.map(lambda x: x[None], problem.start), 2 * discount**STEPS
    for t, force in enumerate(plan):
      states = problem.expect(states, force[None])
      total += discount**t * (final_weight if t == STEPS - 1 else 1) * float(problem.reward(states)[0])
    expected.append(total)
  np.testing.assert_allclose(problem.score(jnp.asarray(plans), jax.random.key(0)), expected, rtol=1e-5)


FEW_CEM = CEM(STEPS, candidates=200, elites=20, iterations=10)


def test_the_recursion_is_right():
  forces, least = riccati()
  assert np.abs(forces).max() < 0.9  # the bounds do not matter
  np.testing.assert_allclose(cost(forces), least)
  assert cost(np.zeros((STEPS, 1))) > 4 * least  # so coming within a few percent takes a plan
  assert all(cost(forces + 0.05 * nudge[:, None]) > least for nudge in np.eye(STEPS))


@pytest.mark.parametrize(
  ("planner", "tolerance"),
  [(FEW_CEM, 0.01), (MPPI(STEPS), 0.01), (GradientPlanner(STEPS), 0.04)],
  ids=["cem", "mppi", "gradient"],
)
def test_a_linear_quadratic_problem_is_solved(planner, tolerance):
  assert costs(planner).max() < 1 + tolerance


def test_cem_beats_shooting_with_as_many_rollouts():
  shooting = costs(Shooting(STEPS, candidates=FEW_CEM.candidates * FEW_CEM.iterations))
  assert shooting.mean() > 1.1
  assert costs(FEW_CEM).max() < shooting.min()


def searched(planner, previous=NOTHING):
  """The plan for the bowl, and the candidates [N, H, A] of each rollout."""
  tried = []
  problem = whole(bowl, tried.append)
  plan = jax.jit(lambda key, previous: planner.plan(key, problem, previous))(jax.random.key(5), previous)
  jax.effects_barrier()
  return np.asarray(plan), tried


def best(candidates, count):
  """The `count` nearest to the bowl's bottom, best first, and their scores, by sorting."""
  scores = [-((actions - BEST) ** 2).sum() for actions in np.float64(candidates)]
  order = sorted(range(len(scores)), key=lambda n: -scores[n])[:count]
  return np.float64(candidates)[order], np.array(scores)[order]


def test_shooting_takes_the_best_of_uniform_candidates():
  plan, (tried,) = searched(Shooting(HORIZON, candidates=2000))
  np.testing.assert_array_equal(plan, best(tried, 1)[0][0])
  np.testing.assert_allclose(tried.std(0), 2 / np.sqrt(12), rtol=0.1)
  assert -1 <= tried.min() < -0.99
  assert 0.99 < tried.max() <= 1


def test_cem_begins_with_clipped_normal_candidates_and_ends_with_the_mean_of_its_elites():
  plan, tried = searched(CEM(HORIZON, candidates=2000, elites=200, iterations=3))
  assert len(tried) == 3
  assert np.abs(tried).max() == 1
  np.testing.assert_allclose((np.abs(tried[0]) == 1).mean(), 0.3173, atol=0.02)  # of N(0, 1), beyond one deviation
  np.testing.assert_allclose((np.abs(tried[0]) < 0.5).mean(), 0.3829, atol=0.02)
  np.testing.assert_allclose(plan, best(tried[2], 200)[0].mean(0), atol=1e-6)


@pytest.mark.parametrize("elites", [1, 2])
def test_cem_refits_mean_and_population_deviation(elites):
  """One elite has no deviation, and the floor of 1e-6 under the variance alone shows; of two, n - 1 would show."""
  _, (first, second) = searched(CEM(HORIZON, candidates=2000, elites=elites, iterations=2, initial_std=0.1))
  chosen = best(first, elites)[0]
  std = np.sqrt(((chosen - chosen.mean(0)) ** 2).sum(0) / elites + 1e-6)
  np.testing.assert_allclose((second.mean(0) - chosen.mean(0)) / std, 0, atol=0.12)
  np.testing.assert_allclose(second.std(0), std, rtol=0.08)


def test_mppi_weights_its_elites_exponentially():
  config = MPPI(HORIZON, candidates=2000, elites=40, iterations=2, temperature=0.7, std=0.2, min_std=0.01)
  plan, tried = searched(config)
  means, stds = [], []
  for candidates in tried:
    elites, scores = best(candidates, 40)
    weights = np.exp((scores - scores[0]) / scores.std() / 0.7)
    weights /= weights.sum()
    means.append(sum(w * actions for w, actions in zip(weights, elites, strict=True)))
    variance = sum(w * (actions - means[-1]) ** 2 for w, actions in zip(weights, elites, strict=True))
    stds.append(np.sqrt(variance).clip(0.01, 0.2))
  np.testing.assert_allclose(tried[0].std(0), 0.2, rtol=0.08)
  np.testing.assert_allclose((tried[1].mean(0) - means[0]) / stds[0], 0, atol=0.12)
  np.testing.assert_allclose(tried[1].std(0), stds[0], rtol=0.08)
  np.testing.assert_allclose(plan, means[1], atol=1e-5)


def test_mppi_at_temperature_zero_takes_the_best_candidate():
  plan, (tried,) = searched(MPPI(HORIZON, candidates=50, elites=10, iterations=1, temperature=1e-6))
  np.testing.assert_allclose(plan, best(tried, 1)[0][0], atol=1e-6)


def test_mppi_keeps_the_least_deviation():
  _, tried = searched(MPPI(HORIZON, candidates=2000, elites=1, iterations=2, std=0.2, min_std=0.1))
  np.testing.assert_allclose(tried[1].std(0)[np.abs(BEST) < 0.5], 0.1, rtol=0.08)


def test_mppi_makes_do_with_equal_scores():
  """As the rewards of a fresh world model are, whose reward head starts at zero."""
  planner = MPPI(HORIZON, candidates=2000, elites=2000, iterations=1)
  plan = planner.plan(jax.random.key(0), whole(lambda plans: jnp.zeros(len(plans))), jnp.asarray(NOTHING))
  np.testing.assert_allclose(plan, 0, atol=0.1)


def test_mppi_rounds_to_no_more_than_full_force():
  """Every elite begins at full force, with weights by its last action: their sum is 1 but for rounding, up or down."""

  def objective(actions):
    return 10 * (actions[:, 0] == 1).all(1) + actions[:, -1, 0]

  planner = MPPI(HORIZON, candidates=256, elites=16, iterations=1)
  full = jnp.ones((HORIZON, ACTION))
  plans = jax.jit(jax.vmap(lambda key: planner.plan(key, whole(objective), full)))(
    jax.random.split(jax.random.key(0), 100)
  )
  assert plans[:, 0].min() > 1 - 1e-6
  assert plans.max() <= 1


def test_mppi_goes_on_from_the_rest_of_the_previous_plan():
  forces, _ = riccati()
  previous = np.concatenate([[[0.5]], forces[:-1]])
  planner = MPPI(STEPS, iterations=1)
  assert costs(planner, previous).mean() < costs(planner).mean()


def drawn(planner, previous):
  """The candidates [N, H, A] of `searched` in the first iteration, neither smoothed nor clipped."""
  draw_key, _ = jax.random.split(jax.random.split(jax.random.key(5), planner.iterations)[0])
  noise = jax.random.normal(draw_key, (planner.candidates, HORIZON, ACTION))
  return np.float64(shift(jnp.asarray(previous)) + planner.std * noise)


def test_mppi_without_smoothing_tries_what_it_draws():
  previous = np.random.default_rng(0).uniform(-1, 1, (HORIZON, ACTION)).astype(np.float32)
  planner = MPPI(HORIZON, candidates=50, elites=10, iterations=1)
  plan, (tried,) = searched(planner, previous)
  np.testing.assert_allclose(tried, drawn(planner, previous).clip(-1, 1), atol=1e-6)
  np.testing.assert_array_equal(plan, searched(MPPI(HORIZON, 50, 10, 1, smoothing=1), previous)[0])


def test_smooth_mppi_mixes_each_action_with_the_one_before_it_and_the_first_with_the_executed_one():
  previous = np.random.default_rng(0).uniform(-1, 1, (HORIZON, ACTION)).astype(np.float32)
  planner = MPPI(HORIZON, candidates=50, elites=50, iterations=1, std=0.9, min_std=0.9, smoothing=0.7)
  plan, (tried,) = searched(planner, previous)
  expected = drawn(planner, previous)
  for candidate in expected:
    before = previous[0]
    for h in range(HORIZON):
      before = candidate[h] = (0.7 * candidate[h] + 0.3 * before).clip(-1, 1)
  assert (np.abs(expected) == 1).any()  # a bound is met, and what follows it is mixed with the bound
  np.testing.assert_allclose(tried, expected, atol=1e-6)
  elites, scores = best(expected, 50)
  weights = np.exp((scores - scores[0]) / scores.std() / planner.temperature)
  np.testing.assert_allclose(plan, (weights / weights.sum() * elites.T).T.sum(0), atol=1e-5)


def test_gradient_ascends_from_the_rest_of_the_previous_plan():
  """Adam's first step is the learning rate in the direction of the gradient's sign; at the bounds it is cut."""
  previous = np.random.default_rng(0).uniform(-1, 1, (HORIZON, ACTION)).astype(np.float32)
  rest = np.concatenate([previous[1:], np.zeros((1, ACTION))])
  plan, _ = searched(GradientPlanner(HORIZON, candidates=1, iterations=1, learning_rate=0.4), previous)
  np.testing.assert_allclose(plan, (rest + 0.4 * np.sign(BEST - rest)).clip(-1, 1), atol=1e-5)


def test_gradient_takes_the_best_in_the_end():
  plan, (_, final) = searched(GradientPlanner(HORIZON, candidates=20, iterations=1, learning_rate=1e-6))
  np.testing.assert_array_equal(plan, best(final, 1)[0][0])


@pytest.mark.parametrize("planner", [TestShooting().make(HORIZON), TestCEM().make(HORIZON)], ids=["shooting", "cem"])
def test_shooting_and_cem_start_from_nothing(planner):
  plans = compiled(planner)(keys(0, 0, 0), STARTS, np.stack([NOTHING, NOTHING + 0.5, NOTHING - 0.5]))
  np.testing.assert_array_equal(plans, plans[:1].repeat(3, 0))


def test_shift_drops_the_action_that_was_taken():
  np.testing.assert_array_equal(shift(jnp.array([[1.0, 2], [3, 4], [5, 6]])), [[3, 4], [5, 6], [0, 0]])
  np.testing.assert_array_equal(shift(jnp.array([[1.0, 2]])), [[0, 0]])


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: Shooting(candidates=0), "candidates=0 must be at least 1"),
    (lambda: CEM(candidates=50), "elites=100 exceeds candidates=50: lower elites or raise candidates"),
    (lambda: CEM(iterations=0), "iterations=0 must be at least 1"),
    (lambda: CEM(initial_std=0), "initial_std=0 must be more than 0"),
    (lambda: MPPI(elites=600), "elites=600 exceeds candidates=512: lower elites or raise candidates"),
    (lambda: MPPI(temperature=0), "temperature=0 must be more than 0"),
    (lambda: MPPI(smoothing=0), "smoothing=0 must be more than 0"),
    (lambda: MPPI(smoothing=1.1), "smoothing=1.1 must lie between 0 and 1"),
    (lambda: MPPI(min_std=2), "min_std=2 must lie between 0 and 1.0"),
    (lambda: GradientPlanner(learning_rate=-1), "learning_rate=-1 must be more than 0"),
  ],
)
def test_what_makes_no_sense_is_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()
