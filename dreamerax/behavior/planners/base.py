"""What every planner can do: search for actions in a model that it sees only as two callables."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp

States = Any  # pytree of arrays [N, H, ...]; state h is the one that action h leads to
Rollout = Callable[
  [jax.Array, jax.Array], States
]  # actions [N, H, A], key -> states, all N from one and the same start
Objective = Callable[[States], jax.Array]  # states [N, H, ...] -> scores [N], the higher the better


@dataclass(frozen=True)
class Planner(abc.ABC):
  """Configuration of a planner, which has no weights and so is its own planner."""

  horizon: int = 12  # agent steps

  @abc.abstractmethod
  def plan(self, key: jax.Array, rollout: Rollout, objective: Objective, previous: jax.Array) -> jax.Array:
    """The actions [H, A] in [-1, 1] to take from one state; callers vmap over environments.

    Args:
      key: the same key gives the same plan.
      rollout: where actions lead from that state; may draw samples, and gets another key at each call.
      objective: scores to maximise.
      previous: [H, A] float, the plan that was returned one agent step ago; zeros at the start of an episode.
    """


def score(key: jax.Array, rollout: Rollout, objective: Objective, plans: jax.Array) -> jax.Array:
  """[N] scores of the plans [N, H, A]."""
  scores = objective(rollout(plans, key))
  chex.assert_shape(scores, (len(plans),))
  return scores


def shift(previous: jax.Array) -> jax.Array:
  """What is left of the plan [H, A] after its first action was taken, with zeros [1, A] at the end."""
  return jnp.concatenate([previous[1:], jnp.zeros_like(previous[:1])])
