"""Linear-quadratic control beside dense linear algebra, and its limits beside SciPy's bounded least squares."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize

from dreamerax.ops import lqr

HORIZON, STATE, ACTION = 5, 3, 2
BOTH = STATE + ACTION


def positive(rng, *shape):
  root = rng.normal(size=(*shape, shape[-1]))
  return root @ root.swapaxes(-1, -2) + 0.3 * np.eye(shape[-1])


def random_problem(seed):
  """All terms there are, among them costs of states times actions."""
  rng = np.random.default_rng(seed)
  return lqr.LinearQuadratic(
    transition=0.6 * rng.normal(size=(HORIZON, STATE, BOTH)),
    offset=rng.normal(size=(HORIZON, STATE)),
    hessian=positive(rng, HORIZON, BOTH),
    gradient=rng.normal(size=(HORIZON, BOTH)),
    last_hessian=positive(rng, STATE),
    last_gradient=rng.normal(size=STATE),
  )


def dense(problem, start):
  """Hessian and gradient of the cost in all actions [H U] at once, from the states as functions of the actions."""
  size = HORIZON * ACTION
  state, constant = np.zeros((STATE, size)), start
  hessian, gradient = np.zeros((size, size)), np.zeros(size)

  def add(cost, slope, by_actions, constant):
    nonlocal hessian, gradient
    hessian = hessian + by_actions.T @ cost @ by_actions
    gradient = gradient + by_actions.T @ (cost @ constant + slope)

  for t in range(HORIZON):
    action = np.zeros((ACTION, size))
    action[:, t * ACTION : (t + 1) * ACTION] = np.eye(ACTION)
    by_actions, both = np.concatenate([state, action]), np.concatenate([constant, np.zeros(ACTION)])
    add(problem.hessian[t], problem.gradient[t], by_actions, both)
    state, constant = problem.transition[t] @ by_actions, problem.transition[t] @ both + problem.offset[t]
  add(problem.last_hessian, problem.last_gradient, state, constant)
  return hessian, gradient


def simulate(problem, gains, start):
  """Actions [H, U] of the policy."""
  state, actions = start, []
  for t in range(HORIZON):
    actions.append(np.asarray(gains.feedback[t]) @ state + np.asarray(gains.feedforward[t]))
    state = problem.transition[t] @ np.concatenate([state, actions[-1]]) + problem.offset[t]
  return np.array(actions)


def solve(problem, *args):
  return jax.jit(lqr.solve)(jax.tree.map(jnp.float32, problem), *args)


def test_the_policy_is_the_solution_of_the_normal_equations():
  problem = random_problem(0)
  gains = solve(problem)
  for start in np.random.default_rng(1).normal(size=(3, STATE)):
    hessian, gradient = dense(problem, start)
    best = -np.linalg.solve(hessian, gradient).reshape(HORIZON, ACTION)
    np.testing.assert_allclose(simulate(problem, gains, start), best, atol=2e-5)


def test_problems_are_solved_side_by_side():
  problems = [random_problem(seed) for seed in range(4)]
  together = jax.jit(jax.vmap(lqr.solve))(jax.tree.map(lambda *x: jnp.float32(np.stack(x)), *problems))
  for n, problem in enumerate(problems):
    alone = solve(problem)
    jax.tree.map(lambda a, b, n=n: np.testing.assert_allclose(a[n], b, atol=1e-4), together, alone)


def test_a_long_horizon_has_the_gain_of_the_algebraic_riccati_equation():
  rng = np.random.default_rng(2)
  move, push, cost, effort = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), positive(rng, 3), positive(rng, 2)
  value = scipy.linalg.solve_discrete_are(move, push, cost, effort)
  expected = -np.linalg.solve(effort + push.T @ value @ push, push.T @ value @ move)

  def repeat(x):
    return np.broadcast_to(x, (200, *x.shape))

  problem = lqr.LinearQuadratic(
    transition=repeat(np.concatenate([move, push], 1)),
    offset=np.zeros((200, 3)),
    hessian=repeat(scipy.linalg.block_diag(cost, effort)),
    gradient=np.zeros((200, 5)),
    last_hessian=np.zeros((3, 3)),
    last_gradient=np.zeros(3),
  )
  np.testing.assert_allclose(solve(problem).feedback[0], expected, atol=1e-4)


def bounded_least_squares(hessian, gradient, lower, upper):
  root = np.linalg.cholesky(hessian)
  return scipy.optimize.lsq_linear(root.T, -np.linalg.solve(root, gradient), (lower, upper), tol=1e-14).x


def test_a_box_minimum_is_that_of_bounded_least_squares():
  """With few and with all of 6 entries at their limits; the entries that are not have no slope."""
  rng = np.random.default_rng(3)
  hessians, gradients = positive(rng, 64, 6), rng.normal(size=(64, 6)) * np.logspace(-1, 2, 64)[:, None]
  lower, upper = -rng.uniform(0, 1, (64, 6)), rng.uniform(0, 1, (64, 6))
  inputs = jax.tree.map(jnp.float32, (hessians, gradients, lower, upper))
  found, free, _ = jax.jit(jax.vmap(lqr.box_minimum))(*inputs)
  expected = np.stack([bounded_least_squares(*row) for row in zip(hessians, gradients, lower, upper, strict=True)])
  np.testing.assert_allclose(found, expected, atol=1e-4)
  held = (found <= inputs[2]) | (found >= inputs[3])
  np.testing.assert_array_equal(free, ~held)
  assert 0 < free.mean() < 1 and free.all(1).any() and (~free).all(1).any()


def test_actions_at_a_limit_do_not_answer_to_the_state():
  problem = random_problem(4)
  wide = solve(problem)
  limit = np.abs(wide.feedforward).max() / 3
  gains = solve(problem, -limit, limit)
  held = np.abs(gains.feedforward) == np.float32(limit)
  assert np.abs(gains.feedforward).max() <= np.float32(limit)
  assert held.any() and not held.all()
  np.testing.assert_array_equal(np.asarray(gains.feedback)[held], 0)
  assert np.abs(gains.feedback)[~held].min() > 0


def test_an_action_without_cost_has_no_gains_until_states_are_damped():
  problem = random_problem(5)
  flat = problem._replace(hessian=0 * problem.hessian, last_hessian=0 * problem.last_hessian)
  assert np.isnan(solve(flat).feedforward).all()
  assert np.isfinite(solve(flat, -1.0, 1.0, 0.1).feedforward).all()


def test_damped_gains_are_smaller_and_their_costs_to_go_exact():
  """One step before the end, damping adds mu to the Hessian of the state that is arrived at; two steps before it, the
  cost-to-go is that of the damped policy in the problem as it is."""
  problem, mu = random_problem(6), 0.7
  gains = solve(problem, -np.inf, np.inf, mu)
  value, slope = problem.last_hessian, problem.last_gradient
  for t in reversed(range(HORIZON)):
    move, offset = problem.transition[t], problem.offset[t]
    damped = problem.hessian[t] + move.T @ (value + mu * np.eye(STATE)) @ move
    hessian = problem.hessian[t] + move.T @ value @ move
    gradient = problem.gradient[t] + move.T @ (slope + value @ offset)
    feedback = -np.linalg.solve(damped[STATE:, STATE:], damped[STATE:, :STATE])
    feedforward = -np.linalg.solve(damped[STATE:, STATE:], gradient[STATE:])
    np.testing.assert_allclose(gains.feedback[t], feedback, atol=1e-4)
    np.testing.assert_allclose(gains.feedforward[t], feedforward, atol=1e-4)
    xx, ux, uu = hessian[:STATE, :STATE], hessian[STATE:, :STATE], hessian[STATE:, STATE:]
    value = xx + feedback.T @ uu @ feedback + feedback.T @ ux + ux.T @ feedback
    slope = gradient[:STATE] + feedback.T @ uu @ feedforward + feedback.T @ gradient[STATE:] + ux.T @ feedforward


def test_damping_grows_and_shrinks_faster_and_faster():
  damping, seen = lqr.Damping(jnp.float32(1), jnp.float32(1)), []
  for improved in (True, True, False, False, False, True):
    damping = damping.after(jnp.asarray(improved))
    seen.append(float(damping.mu))
  np.testing.assert_allclose(seen, [1 / 2, 1 / 8, 1 / 4, 1, 8, 4])
  assert lqr.Damping(jnp.float32(1.5e-6), jnp.float32(1)).after(jnp.asarray(True)).mu == 0
  assert lqr.Damping(jnp.float32(0), jnp.float32(1)).after(jnp.asarray(False)).mu == np.float32(2e-6)
  assert lqr.Damping(jnp.float32(1e10), jnp.float32(8)).after(jnp.asarray(False)).mu == np.float32(1e10)
