"""A learned distance to a goal, in steps: the reward of an achiever that cosine and squared distance mislead."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import BehaviorLosses, Optimizers, Replayed
from dreamerax.behavior.goals.relabel import Near, Shuffled
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.rewards.base import Reward
from dreamerax.behavior.rewards.goal import GoalReward
from dreamerax.nets.blocks import MLP, Linear
from dreamerax.nets.modules import Params
from dreamerax.ops.optimizers import LaProp, Optimizer
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class TemporalDistance(Reward):
  """Minus the number of agent steps to the goal, as a share of `limit` (Mendonca et al. 2021).

  Steps that were as far from the goal took different times to it: some moved on, and came back. The mean over them, the
  published distance, is some steps even at the goal; an `expectile` below a half asks for the short ones (Kostrikov et al.
  2022, IQL, have the loss, there above a half).

  A network learns it from pairs of replayed steps at most `limit` apart in an episode, the later of which is seen alone
  as a goal is, and from pairs of the whole batch, which count as `limit` apart. The published code draws its pairs from
  the achiever's imagination in place of the replay.
  """

  limit: int = 15  # agent steps
  others: float = 0.1  # share of pairs from the whole batch
  expectile: float = (
    0.5  # weight of errors of a distance that is too small; 1 - expectile of one too large. 0.5: the mean
  )
  layers: int = 2  # hidden, of the network
  units: int = 128  # of each hidden layer
  optimizer: Optimizer = field(default_factory=lambda: LaProp(learning_rate=3e-4))

  def __post_init__(self):
    checks.at_least(1, self, "limit", "layers", "units")
    checks.between(0, 1, self, "others", "expectile")
    checks.more_than_zero(self, "expectile")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "TemporalDistanceModule":
    return TemporalDistanceModule(self, features, dtype=dtype, rngs=rngs)


class TemporalDistanceModule(GoalReward):
  """Built from `TemporalDistance`; child "distance"."""

  def __init__(self, config: TemporalDistance, features: int, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.distance = DistanceModule(config, features, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array, goal: jax.Array) -> jax.Array:
    return -self.distance(features, goal)

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Squared error of the distance at each replayed step to one other step, weighted by its sign.

    Raises ValueError: sequences are too short.
    """
    glance_key, near_key, far_key, choice_key = jax.random.split(key, 4)
    is_first = replayed.steps.is_first
    if is_first.shape[1] <= self.config.limit:
      raise ValueError(
        f"replay.batch_length={is_first.shape[1]}: distances are learned from steps up to limit={self.config.limit} apart; "
        f"raise it to {self.config.limit + 1}, or lower agent.behavior.reward.limit"
      )
    time = jnp.broadcast_to(jnp.arange(is_first.shape[1]), is_first.shape)
    alone = jax.lax.stop_gradient(world.glance(replayed.embed, glance_key))  # [B, T, F]
    near = Near(self.config.limit)
    goal, apart = (near.goals(values, is_first, near_key) for values in (alone, time))  # of the same steps
    far = jax.random.bernoulli(choice_key, self.config.others, is_first.shape)  # [B, T]
    goal = jnp.where(far[..., None], Shuffled().goals(alone, is_first, far_key), goal)
    target = jnp.where(far, 1.0, (apart - time) / self.config.limit)
    error = self.distance(jax.lax.stop_gradient(replayed.features), goal) - target
    weight = jnp.where(error < 0, self.config.expectile, 1 - self.config.expectile)
    metrics = {"temporal_distance/error": self.config.limit * jnp.abs(error).mean()}
    return BehaviorLosses({"temporal_distance": (weight * jnp.square(error)).mean()}, slow, metrics)

  @property
  def optimizers(self) -> Optimizers:
    return {"distance": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"temporal_distance": 1.0}


class DistanceModule(nnx.Module):
  """From the features of a state and of a goal to a number; zero before anything is learned."""

  def __init__(self, config: TemporalDistance, features: int, *, dtype: Any, rngs: nnx.Rngs):
    self.mlp = MLP(2 * features, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(config.units, 1, scale=0.0, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array, goal: jax.Array) -> jax.Array:
    """[..., F], [..., F] -> [...] float32."""
    return self.out(self.mlp(jnp.concatenate([features, goal], -1))).astype(jnp.float32)[..., 0]
