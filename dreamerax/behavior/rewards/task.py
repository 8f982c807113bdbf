"""The task's own reward, as the world model predicts it."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from dreamerax.behavior.imagination import World
from dreamerax.behavior.rewards.base import Reward, StateReward
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class TaskReward(Reward):
  """The expectation of the world model's reward head; a behaviour without `Rewarded`
  maximises the same."""

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "TaskRewardModule":
    return TaskRewardModule()


class TaskRewardModule(StateReward):
  """Built from `TaskReward`; has no parameters."""

  def __call__(self, world: World, features: jax.Array) -> jax.Array:
    return world.reward(features)
