"""Linear-quadratic control over a finite horizon, with limits on the actions."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve

# Accelerators round the factors of a product by default: too coarse for a Cholesky factor of the result.
_dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

_QP_ITERATIONS = 20  # it takes about as many as actions come to their limits
_QP_SIZES = 0.6 ** np.arange(20)  # of a Newton step, in the order in which they are preferred
# Of the damping: least change of its factor, and bounds, as published but for the upper one.
_FACTOR, _LEAST, _MOST = 2.0, 1e-6, 1e10


class LinearQuadratic(NamedTuple):
  """Minimise Σ ½ zᵀ C z + cᵀ z over t = 0 .. H - 1, plus ½ xᵀ V x + vᵀ x at t = H.

  State x and action u at one time are z = [x; u]; the next state is F z + f. All may differ from time to time.
  """

  transition: jax.Array  # F [H, X, X + U]
  offset: jax.Array  # f [H, X]
  hessian: jax.Array  # C [H, X + U, X + U], symmetric
  gradient: jax.Array  # c [H, X + U]
  last_hessian: jax.Array  # V [X, X], symmetric
  last_gradient: jax.Array  # v [X]


class Gains(NamedTuple):
  """The policy u = K x + k."""

  feedback: jax.Array  # K [H, U, X]
  feedforward: jax.Array  # k [H, U]


class Damping(NamedTuple):
  """A damping of the change of states in the next solution: the schedule of Tassa et al. 2012, section II.F."""

  mu: jax.Array
  """Factor of |x|² in the cost of arriving at a state, which `solve` adds for the gains' sake alone."""
  factor: jax.Array
  """By which mu was changed last; it grows or shrinks itself while changes go one way."""

  def after(self, improved: jax.Array) -> "Damping":
    """The damping of the next attempt: less where this one improved the score, more where it did not."""
    factor = jnp.where(
      improved, jnp.minimum(1 / _FACTOR, self.factor / _FACTOR), jnp.maximum(_FACTOR, self.factor * _FACTOR)
    )
    mu = jnp.clip(jnp.maximum(self.mu, _LEAST) * factor, 0, _MOST)
    return Damping(jnp.where(mu < _LEAST, 0.0, mu), factor)


def solve(
  problem: LinearQuadratic,
  lower: jax.Array | float = -jnp.inf,
  upper: jax.Array | float = jnp.inf,
  mu: jax.Array | float = 0,
) -> Gains:
  """The best policy, by Riccati's recursion from the end, over actions in [lower, upper] [H, U] where the state is zero.

  Limits as Tassa et al. 2014 (box-DDP): k solves a quadratic program, and the rows of K of actions at a limit are
  zero. That is the best policy near x = 0 only; a problem with limits is solved by solving it again and again around
  the trajectory found last. mu: the regularisation of Tassa et al. 2012 (Eq. 10); the costs-to-go are those of the
  resulting policy in the problem as it is (Eq. 11).

  All gains are NaN where the regularised Hessian of an action is not positive definite.
  """
  shape = problem.gradient[:, problem.offset.shape[1] :].shape  # [H, U]
  limits = jnp.broadcast_to(lower, shape), jnp.broadcast_to(upper, shape)
  return _riccati(problem, mu, limits, _limited_gains)[0]


def solve_free(problem: LinearQuadratic) -> tuple[Gains, jax.Array]:
  """`solve` without limits, and the Hessian [H, U, U] in the action of what a step and those after it cost."""
  return _riccati(problem, 0, (), _free_gains)


def _riccati(
  problem: LinearQuadratic, mu: jax.Array | float, limits: tuple[jax.Array, ...], choose: Callable[..., Gains]
) -> tuple[Gains, jax.Array]:
  """The gains that `choose` gives for the actions' rows of a step's Hessian and gradient, within `limits` [H, U]."""
  size = problem.offset.shape[1]

  def step(cost_to_go: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, ...]):
    hessian, gradient = cost_to_go
    transition, offset, step_hessian, step_gradient, *limits = inputs
    back = transition.T
    gradient = step_gradient + _dot(back, gradient + _dot(hessian, offset))
    damped = step_hessian + _dot(back, _dot(hessian + mu * jnp.eye(size), transition))
    hessian = step_hessian + _dot(back, _dot(hessian, transition))
    gains = choose(damped[size:], gradient[size:], *limits)
    # The cost-to-go of any policy: z = T x + t with T = [I; K], t = [0; k].
    policy = jnp.concatenate([jnp.eye(size), gains.feedback])
    constant = jnp.concatenate([jnp.zeros(size), gains.feedforward])
    new = _dot(policy.T, _dot(hessian, policy))
    to_go = (new + new.T) / 2, _dot(policy.T, gradient + _dot(hessian, constant))
    return to_go, (gains, damped[size:, size:])

  inputs = (problem.transition, problem.offset, problem.hessian, problem.gradient, *limits)
  last = problem.last_hessian, problem.last_gradient
  return jax.lax.scan(step, last, inputs, reverse=True)[1]


def box_minimum(
  hessian: jax.Array, gradient: jax.Array, lower: jax.Array, upper: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Minimises ½ uᵀ H u + gᵀ u over lower <= u <= upper, [U] each, by projected Newton steps (Tassa et al. 2014, Algorithm 1).

  Where Tassa et al. search backwards for a step that is good enough, all sizes are tried at once and the best is taken.

  Returns:
    The minimum, which entries are free: not held by their limits, and the Cholesky factor of the free entries' Hessian,
    with the identity in the place of the others. NaN where H is not positive definite.
  """

  def free(u: jax.Array) -> jax.Array:
    slope = gradient + _dot(hessian, u)
    return ~(((u <= lower) & (slope > 0)) | ((u >= upper) & (slope < 0)))

  def factor(free: jax.Array) -> jax.Array:
    both = free[:, None] & free[None]
    return jnp.linalg.cholesky(jnp.where(both, hessian, jnp.eye(len(gradient), dtype=hessian.dtype)))

  def cost(u: jax.Array) -> jax.Array:
    return _dot(u, gradient + _dot(hessian, u) / 2)

  def improve(carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array]):
    count, u, moving, _ = carry
    slope = jnp.where(moving, gradient + _dot(hessian, u), 0)
    newton = u - cho_solve((factor(moving), True), slope)
    tried = jnp.clip(u + _QP_SIZES[:, None] * (newton - u), lower, upper)
    best = tried[jax.vmap(cost)(tried).argmin()]
    still = free(best)
    done = (best == newton).all() & (still == moving).all()
    return count + 1, best, still, done | jnp.isnan(best).any()

  start = jnp.clip(jnp.zeros_like(gradient), lower, upper)
  carry = jnp.zeros((), jnp.int32), start, free(start), jnp.zeros((), bool)
  _, u, moving, _ = jax.lax.while_loop(lambda carry: ~carry[3] & (carry[0] < _QP_ITERATIONS), improve, carry)
  return u, moving, factor(moving)


def _limited_gains(hessian: jax.Array, gradient: jax.Array, lower: jax.Array, upper: jax.Array) -> Gains:
  """K [U, X] and k [U] from the actions' rows of a step's Hessian [U, X + U] and gradient [U]."""
  by_state, by_action = jnp.split(hessian, [hessian.shape[1] - len(gradient)], 1)
  feedforward, free, factor = box_minimum(by_action, gradient, lower, upper)
  return Gains(-cho_solve((factor, True), jnp.where(free[:, None], by_state, 0)), feedforward)


def _free_gains(hessian: jax.Array, gradient: jax.Array) -> Gains:
  """`_limited_gains` without limits."""
  by_state, by_action = jnp.split(hessian, [hessian.shape[1] - len(gradient)], 1)
  solved = cho_solve(cho_factor(by_action), jnp.concatenate([by_state, gradient[:, None]], 1))
  return Gains(-solved[:, :-1], -solved[:, -1])
