"""Uniform actions: for a world model that is trained alone."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Replayed, Situation
from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.modules import Params
from dreamerax.ops.distributions import uniform_choices
from dreamerax.types import ActionSpec, EnvSpec


@dataclass(frozen=True)
class Uniform(Behavior):
  """Acts by chance and learns nothing, so that an update trains the world model only."""

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "UniformModule":
    return UniformModule(spec.action)


class UniformModule(BehaviorModule):
  """Built from `Uniform`; has no parameters."""

  def __init__(self, action: ActionSpec):
    self.action = action

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    count = len(jax.tree.leaves(now.latent)[0])
    if self.action.discrete:
      return uniform_choices(key, self.action, count), now.memory
    return jax.random.uniform(key, (count, self.action.size), minval=-1, maxval=1), now.memory

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    return BehaviorLosses({}, slow, {})
