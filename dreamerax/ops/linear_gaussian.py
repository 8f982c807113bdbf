"""Linear-Gaussian dynamics and policies that vary in time: fitted to rollouts, and improved by small steps.

LQR with fitted linear models, bounded by the KL between policies (Levine and Abbeel 2014).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular

from dreamerax.ops import lqr

# Accelerators round the factors of a product by default: too coarse for a Cholesky factor of the result.
_dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

_RIDGE = 1e-6  # added to the variances of states and actions, which some rollouts do not vary
_LEAST, _MOST = 1e-8, 1e16  # multipliers of the KL between which the right one is sought
_BISECTIONS = 50
_LEAST_USED = 0.9  # share of the bound that is used, where it matters


class Moments(NamedTuple):
  """Mean [..., N] and covariance [..., N, N]."""

  mean: jax.Array
  covariance: jax.Array


Prior = Callable[[Moments], Moments]  # moments of [x; u; x'] of each step [H, N], as rollouts have them -> before them


class LinearDynamics(NamedTuple):
  """x' ~ N(F [x; u] + f, S), at each of H steps."""

  transition: jax.Array  # F [H, X, X + U]
  offset: jax.Array  # f [H, X]
  covariance: jax.Array  # S [H, X, X]


class LinearPolicy(NamedTuple):
  """u ~ N(K x + k, C), at each of H steps."""

  feedback: jax.Array  # K [H, U, X]
  feedforward: jax.Array  # k [H, U]
  covariance: jax.Array  # C [H, U, U]


class Improved(NamedTuple):
  """The result of `improve`."""

  policy: LinearPolicy
  multiplier: jax.Array  # η, of the KL; `_LEAST` where the bound does not matter
  kl: jax.Array  # from the policy before, summed over the steps


def fit_dynamics(
  states: jax.Array, actions: jax.Array, strength: jax.Array | float, prior: Prior | None = None
) -> LinearDynamics:
  """Fits the dynamics to rollouts: states [B, H + 1, X], actions [B, H, U].

  At each step a Gaussian over [x; u; x'] is conditioned on x and u. It has a normal-inverse-Wishart prior that is as strong
  as `strength` times the rollouts, by default `pooled`. Strength 0 is a least-squares fit of each step, a large one leaves the
  prior's dynamics.
  """
  return _fit(
    jnp.concatenate([states[:, :-1], actions, states[:, 1:]], -1), states.shape[-1], strength, prior or pooled
  )


def fit_policy(states: jax.Array, actions: jax.Array, strength: jax.Array | float) -> LinearPolicy:
  """Fits a policy to states [B, H, X] and the actions taken there [B, H, U], as `fit_dynamics` fits dynamics."""
  found = _fit(jnp.concatenate([states, actions], -1), actions.shape[-1], strength, pooled)
  return LinearPolicy(found.transition, found.offset, found.covariance)


def _fit(joint: jax.Array, size: int, strength: jax.Array | float, prior: Prior) -> LinearDynamics:
  """The last `size` entries of rollouts [B, H, N] from those before them, at each step."""
  joint = joint.swapaxes(0, 1)  # [H, B, N]
  mean = joint.mean(1)
  away = joint - mean[:, None]
  own = Moments(mean, _dot(away.mT, away) / joint.shape[1])
  return jax.vmap(partial(_conditional, size=size))(*_posterior(own, prior(own), strength))


def pooled(own: Moments) -> Moments:
  """The covariance of all steps about their own means, so that a step without variation moves as all of them do."""
  return own._replace(covariance=own.covariance.mean(0))


def centred(own: Moments, model: LinearDynamics, wider: float = 0.0) -> Moments:
  """The moments of [x; u; x'] [H, N] that a model expects around the means of x and u, with their `pooled` covariance.

  `wider` is a share of the mean variance of x and u that is added to each of them: along what the rollouts do not vary, the
  fit then is the model, where it would else be zero.

  A fit with this prior is the Bayesian regression of x' on x and u whose prior mean are the model's F and f
  (matrix-normal-inverse-Wishart).
  """
  size = model.offset.shape[-1]
  inputs, covariance = own.mean[:, :-size], own.covariance.mean(0)[:-size, :-size]
  covariance = covariance + wider * covariance.diagonal().mean() * jnp.eye(len(covariance))
  expected = _dot(model.transition, inputs[..., None])[..., 0] + model.offset
  cross = _dot(model.transition, covariance)  # [H, X, X + U]
  rest = _dot(cross, model.transition.mT) + model.covariance
  top = jnp.concatenate([jnp.broadcast_to(covariance, (len(inputs), *covariance.shape)), cross.mT], -1)
  whole = jnp.concatenate([top, jnp.concatenate([cross, rest], -1)], 1)
  return Moments(jnp.concatenate([inputs, expected], -1), whole)


def _posterior(own: Moments, prior: Moments, strength: jax.Array | float) -> Moments:
  """Of Gaussians [H] with the moments `own` of B rollouts, and a prior of `strength` times B of them."""
  share = strength / (1 + strength)
  gap = own.mean - prior.mean
  covariance = own.covariance + strength * prior.covariance + share * gap[..., None] * gap[..., None, :]
  return Moments(own.mean - share * gap, covariance / (1 + strength))


def _conditional(mean: jax.Array, covariance: jax.Array, size: int) -> LinearDynamics:
  """The dynamics of one step from the joint Gaussian over [x; u; x'], whose last `size` entries are x'."""
  inputs = covariance[:-size, :-size] + _RIDGE * jnp.eye(len(mean) - size)
  cross = covariance[:-size, -size:]
  transition = cho_solve(cho_factor(inputs), cross).T
  rest = covariance[-size:, -size:] - _dot(transition, cross)
  offset = mean[-size:] - _dot(transition, mean[:-size])
  return LinearDynamics(transition, offset, (rest + rest.T) / 2)


def marginals(dynamics: LinearDynamics, policy: LinearPolicy, start: Moments) -> tuple[Moments, Moments]:
  """Distributions of [x; u] [H, X + U] at each step from first states `start` on, and of the last state [X]."""

  def step(state: Moments, inputs: tuple[LinearDynamics, LinearPolicy]) -> tuple[Moments, Moments]:
    model, chosen = inputs
    both = _with_action(state, chosen)
    mean = _dot(model.transition, both.mean) + model.offset
    covariance = _dot(model.transition, _dot(both.covariance, model.transition.T)) + model.covariance
    return Moments(mean, (covariance + covariance.T) / 2), both

  last, both = jax.lax.scan(step, start, (dynamics, policy))
  return both, last


def _with_action(state: Moments, policy: LinearPolicy) -> Moments:
  """The Gaussian over [x; u] of one step."""
  mean = jnp.concatenate([state.mean, _dot(policy.feedback, state.mean) + policy.feedforward])
  cross = _dot(state.covariance, policy.feedback.T)
  own = _dot(policy.feedback, cross) + policy.covariance
  return Moments(mean, jnp.block([[state.covariance, cross], [cross.T, own]]))


def expected_cost(problem: lqr.LinearQuadratic, both: Moments, last: Moments) -> jax.Array:
  """The problem's cost, a scalar, under `marginals`."""

  def cost(hessian: jax.Array, gradient: jax.Array, where: Moments) -> jax.Array:
    square = _dot(where.mean, _dot(hessian, where.mean)) + (hessian * where.covariance).sum()
    return square / 2 + _dot(gradient, where.mean)

  running = jax.vmap(cost)(problem.hessian, problem.gradient, both).sum()
  return running + cost(problem.last_hessian, problem.last_gradient, last)


def policy_kl(new: LinearPolicy, old: LinearPolicy, states: Moments) -> jax.Array:
  """KL(new ‖ old) [H] of the actions, expected over states [H, X]."""

  def kl(new: LinearPolicy, old: LinearPolicy, state: Moments) -> jax.Array:
    factor, before = (jnp.linalg.cholesky(each.covariance) for each in (new, old))
    gain = new.feedback - old.feedback
    mean = _dot(gain, state.mean) + new.feedforward - old.feedforward
    spread = new.covariance + _dot(gain, _dot(state.covariance, gain.T))
    inside = cho_solve((before, True), spread).trace() + jnp.square(solve_triangular(before, mean, lower=True)).sum()
    determinants = 2 * (jnp.log(before.diagonal()) - jnp.log(factor.diagonal())).sum()
    return (inside - len(mean) + determinants) / 2

  return jax.vmap(kl)(new, old, states)


def improve(
  problem: lqr.LinearQuadratic, dynamics: LinearDynamics, old: LinearPolicy, start: Moments, bound: jax.Array | float
) -> Improved:
  """The policy of least expected cost among those whose KL from `old`, summed over the steps, is at most `bound`.

  Minimises cost + η KL by Riccati's recursion, whose Hessian of an action is the policy's precision; η, the multiplier
  of the bound, is found by bisection of its logarithm. The KL is that of the new policy's own states, and none of a
  step counts less than zero.

  Args:
    problem: with the means of `dynamics`.
    start: first states.
  """

  def attempt(multiplier: jax.Array) -> tuple[LinearPolicy, jax.Array]:
    policy = _penalised(problem, old, multiplier)
    both, _ = marginals(dynamics, policy, start)
    size = len(start.mean)
    states = Moments(both.mean[:, :size], both.covariance[:, :size, :size])
    kl = jnp.maximum(policy_kl(policy, old, states), 0).sum()
    return policy, jnp.where(jnp.isfinite(kl), kl, jnp.inf)  # one that has no number is too far

  def halve(carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array]):
    count, low, high, kl_high = carry
    middle = (low + high) / 2
    _, kl = attempt(jnp.exp(middle))
    kept = kl <= bound
    low, high = jnp.where(kept, low, middle), jnp.where(kept, middle, high)
    return count + 1, low, high, jnp.where(kept, kl, kl_high)

  _, freest = attempt(jnp.float32(_LEAST))
  low, high = jnp.log(jnp.float32(_LEAST)), jnp.log(jnp.float32(_MOST))
  begin = jnp.where(freest <= bound, _BISECTIONS, 0), low, high, jnp.float32(0)
  *_, high, _ = jax.lax.while_loop(
    lambda carry: (carry[0] < _BISECTIONS) & (carry[3] < _LEAST_USED * bound), halve, begin
  )
  multiplier = jnp.where(freest <= bound, _LEAST, jnp.exp(high))
  policy, kl = attempt(multiplier)
  return Improved(policy, multiplier, kl)


def _penalised(problem: lqr.LinearQuadratic, old: LinearPolicy, multiplier: jax.Array) -> LinearPolicy:
  """The minimiser of cost / η + KL from `old`, in expectation."""
  precision = jax.vmap(jnp.linalg.inv)(old.covariance)
  precision = (precision + precision.mT) / 2
  # -log old(u | x) is half of |u - K x - k|² in this metric: a quadratic form of [x; u], and a linear one.
  error = jnp.concatenate([-old.feedback, jnp.broadcast_to(jnp.eye(precision.shape[-1]), precision.shape)], -1)
  weighted = _dot(error.mT, precision)
  kept = lqr.LinearQuadratic(
    problem.transition,
    problem.offset,
    problem.hessian / multiplier + _dot(weighted, error),
    problem.gradient / multiplier - _dot(weighted, old.feedforward[..., None])[..., 0],
    problem.last_hessian / multiplier,
    problem.last_gradient / multiplier,
  )
  gains, hessians = lqr.solve_free(kept)
  covariance = jax.vmap(jnp.linalg.inv)(hessians)
  return LinearPolicy(gains.feedback, gains.feedforward, (covariance + covariance.mT) / 2)
