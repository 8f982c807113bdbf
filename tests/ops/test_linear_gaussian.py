"""Fitted linear-Gaussian models and KL-bounded LQR beside dense linear algebra, samples, loops and SciPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose

from dreamerax.ops import linear_gaussian as lg
from dreamerax.ops import lqr
from tests.ops.test_lqr import ACTION, BOTH, HORIZON, STATE, positive, random_problem

improve = jax.jit(lg.improve)


def random_policy(rng):
  feedback, feedforward = 0.3 * rng.normal(size=(HORIZON, ACTION, STATE)), rng.normal(size=(HORIZON, ACTION))
  return lg.LinearPolicy(feedback, feedforward, 0.2 * positive(rng, HORIZON, ACTION))


def random_case(seed):
  """A problem, its dynamics with noise, a policy, and first states."""
  rng, problem = np.random.default_rng(seed), random_problem(seed)
  dynamics = lg.LinearDynamics(problem.transition, problem.offset, 0.1 * positive(rng, HORIZON, STATE))
  start = lg.Moments(rng.normal(size=STATE), 0.3 * positive(rng, STATE))
  return jax.tree.map(jnp.float32, (problem, dynamics, random_policy(rng), start))


def rollouts(rng, dynamics, policy, start, count):
  """States [B, H + 1, X] and actions [B, H, U], one draw after the other."""
  states, actions = [rng.multivariate_normal(*map(np.asarray, start), count)], []
  for t in range(len(dynamics.offset)):
    mean = states[-1] @ np.asarray(policy.feedback[t]).T + np.asarray(policy.feedforward[t])
    actions.append(mean + rng.multivariate_normal(np.zeros(mean.shape[1]), np.asarray(policy.covariance[t]), count))
    mean = np.concatenate([states[-1], actions[-1]], -1) @ np.asarray(dynamics.transition[t]).T + np.asarray(
      dynamics.offset[t]
    )
    noise = rng.multivariate_normal(np.zeros(mean.shape[1]), np.asarray(dynamics.covariance[t]), count)
    states.append(mean + noise)
  return np.stack(states, 1), np.stack(actions, 1)


def test_without_a_prior_each_step_is_its_own_least_squares_fit():
  rng, (_, dynamics, policy, start) = np.random.default_rng(0), random_case(0)
  states, actions = rollouts(rng, dynamics, policy, start, 60)
  fitted = lg.fit_dynamics(jnp.float32(states), jnp.float32(actions), 0)
  for t in range(HORIZON):
    inputs = np.concatenate([states[:, t], actions[:, t], np.ones((60, 1))], -1)
    solution, _, _, _ = np.linalg.lstsq(inputs, states[:, t + 1], rcond=None)
    assert_allclose(fitted.transition[t], solution[:-1].T, atol=2e-4)
    assert_allclose(fitted.offset[t], solution[-1], atol=2e-4)
    rest = states[:, t + 1] - inputs @ solution
    assert_allclose(fitted.covariance[t], rest.T @ rest / 60, atol=2e-4)


def test_an_endless_prior_is_the_fit_of_all_steps_and_few_rollouts_lean_on_it():
  rng = np.random.default_rng(1)
  states, actions = rng.normal(size=(4, HORIZON + 1, STATE)), rng.normal(size=(4, HORIZON, ACTION))
  joint = np.concatenate([states[:, :-1], actions], -1)
  away, after = (x - x.mean(0) for x in (joint, states[:, 1:]))
  pooled, _, _, _ = np.linalg.lstsq(away.reshape(-1, BOTH), after.reshape(-1, STATE), rcond=None)
  fitted = lg.fit_dynamics(jnp.float32(states), jnp.float32(actions), 1e7)
  assert_allclose(fitted.transition, np.broadcast_to(pooled.T, (HORIZON, STATE, BOTH)), atol=1e-3)
  means = np.einsum("xz,hz->hx", pooled.T, joint.mean(0)) + np.asarray(fitted.offset)
  assert_allclose(means, states[:, 1:].mean(0), atol=1e-3)  # the means stay those of the step
  # Four rollouts do not fix six numbers a row: with a prior, they do not have to.
  assert np.abs(lg.fit_dynamics(jnp.float32(states), jnp.float32(actions), 1.0).transition).max() < 3


def test_marginals_and_expected_cost_are_those_of_one_dense_gaussian():
  problem, dynamics, policy, start = random_case(2)
  both, last = lg.marginals(dynamics, policy, start)
  # Every state and action is linear in z = [x_0, noises of actions and of dynamics].
  blocks = [np.asarray(start.covariance)]
  for t in range(HORIZON):
    blocks += [np.asarray(policy.covariance[t]), np.asarray(dynamics.covariance[t])]
  sizes = np.cumsum([0, *(len(block) for block in blocks)])
  total = np.zeros((sizes[-1], sizes[-1]))
  for low, block in zip(sizes, blocks, strict=False):
    total[low : low + len(block), low : low + len(block)] = block

  def unit(index):
    return np.eye(sizes[-1])[sizes[index] : sizes[index + 1]]

  state, mean, cost = unit(0), np.asarray(start.mean), 0.0
  for t in range(HORIZON + 1):
    if t == HORIZON:
      rows, centre, hessian, gradient = state, mean, problem.last_hessian, problem.last_gradient
      assert_allclose(last.mean, mean, rtol=1e-3, atol=1e-4)
      assert_allclose(last.covariance, state @ total @ state.T, rtol=1e-3, atol=1e-4)
    else:
      action = np.asarray(policy.feedback[t]) @ state + unit(1 + 2 * t)
      rows = np.concatenate([state, action])
      centre = np.concatenate([mean, np.asarray(policy.feedback[t]) @ mean + np.asarray(policy.feedforward[t])])
      hessian, gradient = problem.hessian[t], problem.gradient[t]
      assert_allclose(both.mean[t], centre, rtol=1e-3, atol=1e-4)
      assert_allclose(both.covariance[t], rows @ total @ rows.T, rtol=1e-3, atol=1e-4)
      state = np.asarray(dynamics.transition[t]) @ rows + unit(2 + 2 * t)
      mean = np.asarray(dynamics.transition[t]) @ centre + np.asarray(dynamics.offset[t])
    second = rows @ total @ rows.T + np.outer(centre, centre)
    cost += (np.asarray(hessian) * second).sum() / 2 + np.asarray(gradient) @ centre
  assert_allclose(lg.expected_cost(problem, both, last), cost, rtol=1e-4)


def test_the_kl_of_policies_is_the_mean_log_ratio():
  rng, (_, dynamics, policy, start) = np.random.default_rng(3), random_case(3)
  other = jax.tree.map(jnp.float32, random_policy(rng))
  both, _ = lg.marginals(dynamics, policy, start)
  found = lg.policy_kl(policy, other, lg.Moments(both.mean[:, :STATE], both.covariance[:, :STATE, :STATE]))
  states, actions = rollouts(rng, dynamics, policy, start, 40_000)

  def log_prob(policy, t):
    away = actions[:, t] - states[:, t] @ np.asarray(policy.feedback[t]).T - np.asarray(policy.feedforward[t])
    covariance = np.asarray(policy.covariance[t], np.float64)
    return -((away @ np.linalg.inv(covariance)) * away).sum(-1) / 2 - np.linalg.slogdet(covariance)[1] / 2

  for t in range(HORIZON):
    ratio = log_prob(policy, t) - log_prob(other, t)
    assert_allclose(found[t], ratio.mean(), atol=5 * ratio.std() / 200)


@pytest.mark.parametrize("bound", [0.05, 1.0, 20.0])
def test_the_bound_is_kept_and_used_and_what_it_leaves_is_the_least_cost(bound):
  problem, dynamics, policy, start = random_case(4)
  found = improve(problem, dynamics, policy, start, bound)
  assert 0.89 * bound <= found.kl <= bound
  cost = lg.expected_cost(problem, *lg.marginals(dynamics, found.policy, start))
  assert cost < lg.expected_cost(problem, *lg.marginals(dynamics, policy, start))
  # No other of the same KL is cheaper: what is changed at random and drawn back to the bound costs more.
  rng = np.random.default_rng(5)
  for _ in range(5):
    moved = found.policy._replace(feedforward=found.policy.feedforward + 0.05 * rng.normal(size=(HORIZON, ACTION)))
    both, last = lg.marginals(dynamics, moved, start)
    states = lg.Moments(both.mean[:, :STATE], both.covariance[:, :STATE, :STATE])
    kl = lg.policy_kl(moved, policy, states).sum()
    lagrangian = lg.expected_cost(problem, both, last) + found.multiplier * (kl - found.kl)
    assert lagrangian >= cost - 1e-4 * abs(cost)


def test_a_bound_that_does_not_matter_leaves_the_riccati_solution():
  problem, dynamics, policy, start = random_case(6)
  found = improve(problem, dynamics, policy, start, 1e9)
  best, hessians = lqr.solve_free(problem)
  assert_allclose(found.policy.feedback, best.feedback, atol=1e-3)
  assert_allclose(found.policy.feedforward, best.feedforward, atol=1e-3)
  assert_allclose(found.policy.covariance * 1e8, np.linalg.inv(hessians), rtol=1e-2)
  limited = lqr.solve(problem)
  assert_allclose(best.feedback, limited.feedback, atol=1e-4)
  assert_allclose(best.feedforward, limited.feedforward, atol=1e-4)


def test_the_dual_finds_what_scipy_finds_of_one_step():
  """x' = x + u, cost (x')² / 2, from x = 3, a policy N(0, 1) before: a mean and a deviation under a bound."""
  ones = jnp.ones
  problem = lqr.LinearQuadratic(
    ones((1, 1, 2)), jnp.zeros((1, 1)), jnp.zeros((1, 2, 2)), jnp.zeros((1, 2)), ones((1, 1)), jnp.zeros(1)
  )
  dynamics = lg.LinearDynamics(problem.transition, problem.offset, 0.01 * ones((1, 1, 1)))
  old = lg.LinearPolicy(jnp.zeros((1, 1, 1)), jnp.zeros((1, 1)), ones((1, 1, 1)))
  start = lg.Moments(jnp.array([3.0]), jnp.array([[1e-8]]))
  found = improve(problem, dynamics, old, start, 0.5)

  def kl(z):
    return (np.exp(2 * z[1]) + z[0] ** 2 - 1) / 2 - z[1]

  best = scipy.optimize.minimize(
    lambda z: ((3 + z[0]) ** 2 + np.exp(2 * z[1])) / 2,
    np.array([-0.1, 0.0]),
    constraints={"type": "ineq", "fun": lambda z: float(found.kl) - kl(z)},
    tol=1e-10,
  )
  mean = 3 * found.policy.feedback[0, 0, 0] + found.policy.feedforward[0, 0]
  assert_allclose([mean, 0.5 * jnp.log(found.policy.covariance[0, 0, 0])], best.x, atol=2e-3)


def test_a_prior_around_a_model_is_the_dense_bayesian_regression():
  """Rows [x; u; 1] with a matrix-normal-inverse-Wishart prior: its mode, from the formula of the conjugate update."""
  rng, count, strength = np.random.default_rng(7), 4, 0.6
  states, actions = rng.normal(size=(count, HORIZON + 1, STATE)), rng.normal(size=(count, HORIZON, ACTION))
  transition, offset = rng.normal(size=(HORIZON, STATE, BOTH)), rng.normal(size=(HORIZON, STATE))
  model = lg.LinearDynamics(transition, offset, positive(rng, HORIZON, STATE))
  prior = partial(lg.centred, model=jax.tree.map(jnp.float32, model))
  fitted = lg.fit_dynamics(jnp.float32(states), jnp.float32(actions), strength, prior)
  inputs = np.concatenate([states[:, :-1], actions, np.ones((count, HORIZON, 1))], -1)
  away = inputs - inputs.mean(0)
  spread = np.einsum("bhi,bhj->ij", away, away) / (count * HORIZON)  # of all steps
  for t in range(HORIZON):
    seen, after, mean = inputs[:, t], states[:, t + 1], inputs[:, t].mean(0)
    before, weight = np.column_stack([transition[t], offset[t]]), strength * count * (spread + np.outer(mean, mean))
    found = (after.T @ seen + before @ weight) @ np.linalg.inv(seen.T @ seen + weight)
    assert_allclose(fitted.transition[t], found[:, :-1], atol=2e-4)
    assert_allclose(fitted.offset[t], found[:, -1], atol=2e-4)
    rest, moved = after - seen @ found.T, found - before
    scatter = rest.T @ rest + moved @ weight @ moved.T + strength * count * model.covariance[t]
    assert_allclose(fitted.covariance[t], scatter / (count * (1 + strength)), atol=5e-4)
  certain = lg.fit_dynamics(jnp.float32(states), jnp.float32(actions), 1e6, prior)
  assert_allclose(certain.transition, transition, atol=1e-3)
  assert_allclose(certain.offset, offset, atol=1e-3)
