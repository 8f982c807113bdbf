"""A planner searches for the best actions from one state; it knows a model of one step, and no network."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

States = Any  # pytree of arrays [N, ...]


class Problem(NamedTuple):
  """The problem of a planner: where it starts, how states move, and what they are
  worth.

  A plan of H actions leads through the states 1 .. H and is worth the sum of discount^(h - 1) times the reward of
  state h, that of the last times final_weight, and discount^H times the value of the last state. All functions treat
  their rows independently.
  """

  start: Any
  """Pytree of arrays [...]: one state, without a leading axis."""
  step: Callable[[States, jax.Array, jax.Array], States]
  """states [N, ...], actions [N, A] in [-1, 1], key -> the states they lead to, which may be drawn at random."""
  expect: Callable[[States, jax.Array], States]
  """states [N, ...], actions [N, A] -> the mean of the states they lead to; differentiable in both."""
  reward: Callable[[States], jax.Array]
  """states [N, ...] -> expected reward [N] on arriving there."""
  value: Callable[[States], jax.Array] | None = None
  """states [N, ...] -> expected discounted return [N] from there on; None counts nothing after the last reward."""
  discount: float = 1.0
  """Of rewards, per agent step."""
  final_weight: float = 1.0
  """Of the reward of the last state, beside its discount."""

  def weights(self, horizon: int) -> jax.Array:
    """What the rewards of states 1 .. H count, [H]."""
    weights = self.discount ** jnp.arange(horizon)
    return weights.at[-1].multiply(self.final_weight)

  def score(self, plans: jax.Array, key: jax.Array) -> jax.Array:
    """Scores the plans [N, H, A], [N]: each along one rollout of its own by `step`.

    Of the states on the way only the rewards are kept. Another key gives other draws.
    """
    count, horizon, _ = plans.shape
    start = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), self.start)

    def step(states: States, inputs: tuple[jax.Array, jax.Array]) -> tuple[States, jax.Array]:
      states = self.step(states, *inputs)
      reward = self.reward(states)
      chex.assert_shape(reward, (count,))
      return states, reward

    inputs = plans.swapaxes(0, 1), jax.random.split(key, horizon)
    last, rewards = jax.lax.scan(step, start, inputs)  # [H, N]
    scores = (rewards.swapaxes(0, 1) * self.weights(horizon)).sum(1)
    if self.value is not None:
      scores += self.discount**horizon * self.value(last)
    chex.assert_shape(scores, (count,))
    return scores


@dataclass(frozen=True)
class Planner(abc.ABC):
  """Configuration of a planner, which has no weights and so is its own planner."""

  horizon: int = 12  # agent steps

  @abc.abstractmethod
  def plan(self, key: jax.Array, problem: Problem, previous: jax.Array) -> jax.Array:
    """The actions [H, A] in [-1, 1] to take from the problem's start; callers vmap over environments.

    Args:
      key: the same key gives the same plan.
      problem: whose score is to be maximised.
      previous: [H, A] float, the plan that was returned one agent step ago; zeros at the start of an episode.
    """


def shift(previous: jax.Array) -> jax.Array:
  """Returns the rest of the plan [H, A] after its first action was taken, with zeros
  [1, A] at the end."""
  return jnp.concatenate([previous[1:], jnp.zeros_like(previous[:1])])
