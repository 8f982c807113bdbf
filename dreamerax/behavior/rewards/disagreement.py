"""The disagreement of an ensemble about the next step: high where the world model has learned little (Plan2Explore)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import BehaviorLosses, Optimizers, Replayed
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.rewards.base import Reward, TransitionReward
from dreamerax.nets.blocks import MLP, Linear
from dreamerax.nets.ensemble import Ensemble
from dreamerax.nets.modules import Params
from dreamerax.ops.optimizers import LaProp, Optimizer
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class Disagreement(Reward):
  """Variance over an ensemble of one-step predictions (Sekar et al. 2020, Eq. 2 and 3).

  Each member predicts the features of the next step from the features of a step and the action taken there. Members
  differ in their initial parameters alone and see the same batches. Where the data is dense they agree, whatever noise
  the next step has, so that the reward is for what can still be learned.

  The paper predicts the embedding of the next observation. Features contain what the model keeps of it, and every world
  model has them.
  """

  members: int = 10
  layers: int = 4  # hidden, of each member
  units: int = 400  # of each hidden layer
  scale: float = 100.0  # factor on the variance
  optimizer: Optimizer = field(default_factory=lambda: LaProp(learning_rate=3e-4))

  def __post_init__(self):
    checks.at_least(2, self, "members")
    checks.at_least(1, self, "layers", "units")
    checks.more_than_zero(self, "scale")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "DisagreementModule":
    return DisagreementModule(self, features, spec, dtype=dtype, rngs=rngs)


class DisagreementModule(TransitionReward):
  """Built from `Disagreement`."""

  def __init__(self, config: Disagreement, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config

    def build(rngs: nnx.Rngs) -> NextFeatures:
      return NextFeatures(config, features, spec.action.size, dtype=dtype, rngs=rngs)

    self.ensemble = Ensemble(build, config.members, rngs=rngs)

  def __call__(self, features: jax.Array, action: jax.Array) -> jax.Array:
    return self.config.scale * self.ensemble(features, action).var(0).mean(-1)

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Squared errors of all members on replayed steps, except where an episode begins and nothing led to the step."""
    features, action = jax.lax.stop_gradient(replayed.features), replayed.steps.action
    predicted = self.ensemble(features[:, :-1], action[:, 1:])  # [K, B, T - 1, F], of the steps 1 … T - 1
    target = features[:, 1:].astype(jnp.float32)
    error = 0.5 * jnp.square(predicted - target).sum(-1).mean(0)
    within = ~replayed.steps.is_first[:, 1:]  # the step before is of the same episode
    count = jnp.maximum(within.sum(), 1)
    disagreement = self.config.scale * predicted.var(0).mean(-1)
    metrics = {"disagreement/replayed": jnp.where(within, disagreement, 0).sum() / count}
    return BehaviorLosses({"disagreement": jnp.where(within, error, 0).sum() / count}, slow, metrics)

  @property
  def optimizers(self) -> Optimizers:
    return {"ensemble": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"disagreement": 1.0}


class NextFeatures(nnx.Module):
  """One member: predicts the features of the next step."""

  def __init__(self, config: Disagreement, features: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.mlp = MLP(features + action, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(config.units, features, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array, action: jax.Array) -> jax.Array:
    """[..., F], [..., A] -> [..., F] float32. Entries of an action beyond [-1, 1] count as -1 or 1, as in the RSSM."""
    action = action / jax.lax.stop_gradient(jnp.maximum(1.0, jnp.abs(action)))
    inputs = jnp.concatenate([features, action.astype(features.dtype)], -1)
    return self.out(self.mlp(inputs)).astype(jnp.float32)
