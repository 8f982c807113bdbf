"""The iterative linear-quadratic regulator with limits on the actions."""

from dataclasses import dataclass
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dreamerax import checks
from dreamerax.behavior.planners.base import Planner, Problem, shift
from dreamerax.ops import lqr

_SIZES = 1.1 ** -(np.arange(10.0) ** 2)  # of a step along the feedforward part, all tried at once: 1 to 0.0004


class _Trajectory(NamedTuple):
  """A plan and where it leads in expectation."""

  states: jax.Array  # [H + 1, X], the start included
  actions: jax.Array  # [H, A]
  score: jax.Array  # []


@dataclass(frozen=True)
class ILQR(Planner):
  """Improves the best of some plans by iLQR (Li & Todorov 2004).

  It begins with the best of the previous plan's rest and of uniform random plans: the rest alone may be where all
  derivatives are zero. Each iteration solves the linear-quadratic problem of small changes to the plan (`expect` to first,
  reward and value to second order, without the directions in which they curve upwards) and follows its policy; the limits
  [-1, 1] are part of the problem, as in box-DDP (Tassa et al. 2014). What is maximised is what the means of states are
  worth, less the actions' cost.

  Derivatives take X + A passes of each step, and a solution X³ of arithmetic, where X is the length of a state: cheap for
  states of a few numbers, dear for the hundreds of an RSSM. A policy that plans so cannot be exported: its program calls
  the machine's factorisations of matrices, which the loader of policies does not trust a file to do.
  """

  candidates: int = 100  # plans that are compared, of which the best is improved
  iterations: int = 10
  action_cost: float = 1e-3  # factor of |action|² / 2 in each step's cost: decides where the reward is flat
  damping: float = 1e-2  # that each call begins with: factor of squared changes of the state in the cost

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "candidates", "iterations")
    checks.more_than_zero(self, "action_cost")
    checks.at_least(0, self, "damping")

  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    chex.assert_shape(previous, (self.horizon, None))
    problem = _on_vectors(problem)
    shape = (self.candidates - 1, *previous.shape)
    drawn = jax.random.uniform(key, shape, previous.dtype, minval=-1, maxval=1)
    plans = jnp.concatenate([shift(previous)[None], drawn])  # [N, H, A]
    scores = problem.score(plans, key) - self.action_cost * jnp.square(plans).sum((1, 2)) / 2
    return self._improved(problem, plans[_finite(scores).argmax()]).actions

  def _improved(self, problem: Problem, plan: jax.Array) -> _Trajectory:
    """The best trajectory after all iterations from plan [H, A]."""

    def improve(carry: tuple[_Trajectory, lqr.Damping], _: None):
      best, damping = carry
      gains = lqr.solve(self._local(problem, best), -1 - best.actions, 1 - best.actions, damping.mu)
      tried = self._follow(problem, best, gains, jnp.asarray(_SIZES))  # NaN where the gains are
      scores = _finite(tried.score)
      improved = scores.max() > best.score
      better = jax.tree.map(lambda x: x[scores.argmax()], tried)
      best = jax.tree.map(lambda new, old: jnp.where(improved, new, old), better, best)
      return (best, damping.after(improved)), None

    size = len(problem.start)
    reference = _Trajectory(jnp.zeros((len(plan) + 1, size)), plan, jnp.zeros(()))
    nothing = lqr.Gains(jnp.zeros((*plan.shape, size)), jnp.zeros(plan.shape))
    first = jax.tree.map(lambda x: x[0], self._follow(problem, reference, nothing, jnp.zeros(1)))
    first = first._replace(actions=plan, score=_finite(first.score))  # 0 times a state that overflows is no number
    damping = lqr.Damping(jnp.float32(self.damping), jnp.ones(()))
    (best, _), _ = jax.lax.scan(improve, (first, damping), length=self.iterations)
    return best

  def _local(self, problem: Problem, around: _Trajectory) -> lqr.LinearQuadratic:
    """The problem of small changes to a trajectory: of states [H + 1, X] and actions [H, A]."""
    horizon, count = around.actions.shape
    size = len(problem.start)

    def move(state: jax.Array, action: jax.Array) -> jax.Array:
      return problem.expect(state[None], action[None])[0]

    transition = jnp.concatenate(jax.vmap(jax.jacfwd(move, (0, 1)))(around.states[:-1], around.actions), -1)
    weights = problem.weights(horizon)
    hessian, gradient = _quadratic(problem.reward, around.states[1:])
    hessian, gradient = weights[:, None, None] * hessian, weights[:, None] * gradient
    if problem.value is not None:
      last_hessian, last_gradient = _quadratic(problem.value, around.states[-1:])
      hessian = hessian.at[-1].add(problem.discount**horizon * last_hessian[0])
      gradient = gradient.at[-1].add(problem.discount**horizon * last_gradient[0])
    both = size + count
    effort = self.action_cost * jnp.eye(count)
    return lqr.LinearQuadratic(
      transition=transition,
      offset=jnp.zeros((horizon, size)),
      hessian=jnp.zeros((horizon, both, both)).at[1:, :size, :size].set(hessian[:-1]).at[:, size:, size:].set(effort),
      gradient=jnp.zeros((horizon, both))
      .at[1:, :size]
      .set(gradient[:-1])
      .at[:, size:]
      .set(self.action_cost * around.actions),
      last_hessian=hessian[-1],
      last_gradient=gradient[-1],
    )

  def _follow(self, problem: Problem, around: _Trajectory, gains: lqr.Gains, sizes: jax.Array) -> _Trajectory:
    """Trajectories [L, ...] under the gains around another one, with the feedforward part times sizes [L]."""

    def step(states: jax.Array, inputs: tuple[jax.Array, ...]):
      state, action, feedback, feedforward, weight = inputs
      change = jnp.einsum("ux,lx->lu", feedback, states - state, precision="highest") + sizes[:, None] * feedforward
      actions = jnp.clip(action + change, -1, 1)
      states = problem.expect(states, actions)
      reward, effort = problem.reward(states), self.action_cost * jnp.square(actions).sum(1) / 2
      chex.assert_equal_shape([reward, effort])
      return states, (states, actions, weight * reward - effort)

    horizon = len(around.actions)
    start = jnp.broadcast_to(problem.start, (len(sizes), *problem.start.shape))
    inputs = around.states[:-1], around.actions, *gains, problem.weights(horizon)
    last, (states, actions, rewards) = jax.lax.scan(step, start, inputs)  # [H, L, ...]
    scores = rewards.sum(0)
    if problem.value is not None:
      scores += problem.discount**horizon * problem.value(last)
    states = jnp.concatenate([start[None], states])
    return _Trajectory(states.swapaxes(0, 1), actions.swapaxes(0, 1), scores)


def _finite(scores: jax.Array) -> jax.Array:
  """Scores with the least for plans that lead beyond all numbers, as those of a model that has learned little may."""
  return jnp.where(jnp.isfinite(scores), scores, -jnp.inf)


def _quadratic(worth, states: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Hessians [N, X, X], cut to their positive part, and gradients [N, X] of minus `worth` at states [N, X]."""

  def cost(state: jax.Array) -> jax.Array:
    return -worth(state[None])[0]

  values, vectors = jnp.linalg.eigh(jax.vmap(jax.hessian(cost))(states))
  scaled = vectors * jnp.maximum(values, 0)[:, None]
  return jnp.matmul(scaled, vectors.mT, precision="highest"), jax.vmap(jax.grad(cost))(states)


def _on_vectors(problem: Problem) -> Problem:
  """The problem in expectation, with states that are float32 vectors."""
  start, unravel = ravel_pytree(problem.start)

  def states(vectors: jax.Array):
    return jax.vmap(unravel)(vectors.astype(start.dtype))

  def expect(vectors: jax.Array, actions: jax.Array) -> jax.Array:
    expected = problem.expect(states(vectors), actions)
    return jax.vmap(lambda state: ravel_pytree(state)[0])(expected).astype(jnp.float32)

  value = problem.value
  return Problem(
    start=start.astype(jnp.float32),
    step=lambda vectors, actions, _: expect(vectors, actions),
    expect=expect,
    reward=lambda vectors: problem.reward(states(vectors)),
    value=None if value is None else lambda vectors: value(states(vectors)),
    discount=problem.discount,
    final_weight=problem.final_weight,
  )
