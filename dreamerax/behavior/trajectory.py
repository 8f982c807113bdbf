"""One iteration of LQR under fitted linear models (Levine and Abbeel 2014): from the newest episodes to a better policy."""

from collections.abc import Callable
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.ops import linear_gaussian, lqr
from dreamerax.ops.linear_gaussian import LinearDynamics, LinearPolicy, Moments

_SHRINK, _GROW = 0.1, 5.0  # least and greatest change of the step in one iteration
_LEAST, _MOST = 0.1, 10.0  # of the step
# Of the newest iteration: the mean cost of its episodes; the costs that the fitted dynamics expect of their policy and of
# the next one; the KL between these, and its multiplier; the factor of the allowed KL; the deviation of the dynamics.
_METRICS = ("cost", "expected", "expected_next", "kl", "multiplier", "step", "noise")
_SPREAD = 1e-6  # added to the variance of first states

Cost = Callable[[jax.Array], jax.Array]  # states [N, X] -> what arriving there costs [N]


@dataclass(frozen=True)
class Trajectory:
  """A time-varying linear-Gaussian policy and how it is improved.

  An iteration fits linear-Gaussian dynamics to the episodes of the policy before, expands the cost to second order at
  each of their states, without the directions in which it curves downwards, and solves for the policy of least expected
  cost within a KL of the one before. The KL allowed grows and shrinks with how much of the predicted gain was had.
  """

  kl_step: float = 1.0  # KL from policy to policy that an iteration allows per step of an episode, to begin with
  prior_strength: float = 1.0  # of the prior of the dynamics against each step's own fit, in shares of its episodes
  action_cost: float = 0.01  # factor of |action|² / 2 in the cost of a step
  init_std: float = 0.5  # of the first policy, whose mean is 0
  min_std: float = 0.05  # least deviation of actions, without which nothing could be fitted

  def __post_init__(self):
    checks.more_than_zero(self, "kl_step", "action_cost", "init_std", "min_std")
    checks.at_least(0, self, "prior_strength")

  def begin(self, horizon: int, states: int, actions: int) -> Params:
    """What is kept from iteration to iteration, before the first: of `horizon` steps."""
    covariance = jnp.broadcast_to(self.init_std**2 * jnp.eye(actions), (horizon, actions, actions))
    policy = LinearPolicy(jnp.zeros((horizon, actions, states)), jnp.zeros((horizon, actions)), covariance)
    none = jnp.zeros(())
    metrics = dict.fromkeys(_METRICS, none)
    return {**stored(policy), "iterations": none, "gain": none, "metrics": metrics | {"step": jnp.ones(())}}

  def improve(
    self, kept: Params, states: jax.Array, actions: jax.Array, cost: Cost, prior: linear_gaussian.Prior | None = None
  ) -> Params:
    """What is kept after an iteration on episodes of the policy in `kept`: states [B, H + 1, X], actions [B, H, U].

    prior: of the dynamics, as `fit_dynamics` takes it.
    """
    chex.assert_shape(kept["feedback"], (actions.shape[1], actions.shape[2], states.shape[2]))
    old = policy_of(kept)
    dynamics = linear_gaussian.fit_dynamics(states, actions, self.prior_strength, prior)
    start = _first(states)
    problem, constant = quadratic_costs(cost, states[:, 1:], self.action_cost, dynamics)

    def expected(policy: LinearPolicy) -> jax.Array:
      return linear_gaussian.expected_cost(problem, *linear_gaussian.marginals(dynamics, policy, start)) + constant

    now = expected(old)
    step = self._step(kept, now)
    bound = self.kl_step * actions.shape[1] * step
    found = linear_gaussian.improve(problem, dynamics, old, start, bound)
    floor = self.min_std**2 * jnp.eye(actions.shape[2])
    new = found.policy._replace(covariance=found.policy.covariance + floor)
    sound = jnp.stack([jnp.isfinite(x).all() for x in (*new, found.kl)]).all()
    new = jax.tree.map(lambda new, old: jnp.where(sound, new, old), new, old)
    then = expected(found.policy)
    took = jax.vmap(cost)(states[:, 1:]).sum(1).mean() + self.action_cost * jnp.square(actions).sum((1, 2)).mean() / 2
    values = (
      took,
      now,
      jnp.where(sound, then, now),
      jnp.where(sound, found.kl, 0),
      found.multiplier,
      step,
      _deviation(dynamics),
    )
    return {
      **stored(new),
      "iterations": kept["iterations"] + 1,
      "gain": jnp.where(sound, now - then, 0),
      "metrics": dict(zip(_METRICS, values, strict=True)),
    }

  def _step(self, kept: Params, now: jax.Array) -> jax.Array:
    """The factor of the allowed KL, after the gain that was predicted and the cost that came of it."""
    last = kept["metrics"]
    missed = jnp.maximum(now - last["expected_next"], 1e-4)
    factor = jnp.clip(kept["gain"] / (2 * missed), _SHRINK, _GROW)
    return jnp.where(kept["iterations"] > 0, jnp.clip(last["step"] * factor, _LEAST, _MOST), last["step"])


def policy_of(kept: Params) -> LinearPolicy:
  """The policy that is kept."""
  return LinearPolicy(
    kept["feedback"], kept["feedforward"], jnp.matmul(kept["deviation"], kept["deviation"].mT, precision="highest")
  )


def quadratic_costs(
  cost: Cost, states: jax.Array, action_cost: float, dynamics: LinearDynamics
) -> tuple[lqr.LinearQuadratic, jax.Array]:
  """The mean over episodes of the cost's second-order expansions at states [B, H, X], those in which steps arrive.

  Returns:
    The problem under the dynamics, and its cost where states and actions are zero.
  """
  horizon, size, both = dynamics.transition.shape
  gradient, hessian = jax.grad(lambda x: cost(x[None])[0]), jax.hessian(lambda x: cost(x[None])[0])

  def expand(state: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Around zero, of the expansion at a state."""
    values, vectors = jnp.linalg.eigh(hessian(state))
    square = jnp.matmul(vectors * jnp.maximum(values, 0), vectors.T, precision="highest")
    slope, curve = gradient(state), jnp.matmul(square, state, precision="highest")
    return square, slope - curve, cost(state[None])[0] - slope @ state + state @ curve / 2

  square, slope, constant = jax.tree.map(lambda x: x.mean(0), jax.vmap(jax.vmap(expand))(states))
  problem = lqr.LinearQuadratic(
    transition=dynamics.transition,
    offset=dynamics.offset,
    hessian=jnp.zeros((horizon, both, both))
    .at[1:, :size, :size]
    .set(square[:-1])
    .at[:, size:, size:]
    .set(action_cost * jnp.eye(both - size)),
    gradient=jnp.zeros((horizon, both)).at[1:, :size].set(slope[:-1]),
    last_hessian=square[-1],
    last_gradient=slope[-1],
  )
  return problem, constant.sum()


def _first(states: jax.Array) -> Moments:
  """The Gaussian of the first states of episodes [B, H + 1, X]."""
  mean = states[:, 0].mean(0)
  away = states[:, 0] - mean
  covariance = jnp.matmul(away.T, away, precision="highest") / len(states)
  return Moments(mean, covariance + _SPREAD * jnp.eye(len(mean)))


def stored(policy: LinearPolicy) -> Params:
  """With the covariance's Cholesky factor in its place, which drawing actions needs."""
  return {
    "feedback": policy.feedback,
    "feedforward": policy.feedforward,
    "deviation": jnp.linalg.cholesky(policy.covariance),
  }


def _deviation(dynamics: LinearDynamics) -> jax.Array:
  """The mean deviation of what a step of the dynamics leaves open, a scalar."""
  return jnp.sqrt(jnp.maximum(jnp.diagonal(dynamics.covariance, axis1=1, axis2=2), 0)).mean()
