"""Rewards of a goal that the environment shows: how near a state is to it."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.rewards.base import Reward, RewardModule
from dreamerax.types import EnvSpec


class GoalReward(RewardModule):
  """A reward of the state that is reached and of the goal, which is seen alone: see
  `goal_features`."""

  @abc.abstractmethod
  def __call__(self, features: jax.Array, goal: jax.Array) -> jax.Array:
    """Features [..., F] and those of the goal [..., F] -> the reward on arriving there [...]."""


@dataclass(frozen=True)
class GoalDistance(Reward):
  """Minus the squared distance between the features of state and goal (Watter et al. 2015)."""

  scale: float = 1.0  # factor of the squared distance

  def __post_init__(self):
    checks.more_than_zero(self, "scale")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "GoalDistanceModule":
    return GoalDistanceModule(self)


class GoalDistanceModule(GoalReward):
  """Built from `GoalDistance`; has no parameters."""

  def __init__(self, config: GoalDistance):
    self.config = config

  def __call__(self, features: jax.Array, goal: jax.Array) -> jax.Array:
    gap = features.astype(jnp.float32) - goal.astype(jnp.float32)
    return -self.config.scale * jnp.square(gap).sum(-1)


@dataclass(frozen=True)
class GoalSimilarity(Reward):
  """The cosine of the angle between the features of state and goal (Mendonca et al. 2021)."""

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "GoalSimilarityModule":
    return GoalSimilarityModule()


class GoalSimilarityModule(GoalReward):
  """Built from `GoalSimilarity`; has no parameters."""

  def __call__(self, features: jax.Array, goal: jax.Array) -> jax.Array:
    features, goal = features.astype(jnp.float32), goal.astype(jnp.float32)
    squares = jnp.square(features).sum(-1) * jnp.square(goal).sum(-1)
    return (features * goal).sum(-1) * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))
