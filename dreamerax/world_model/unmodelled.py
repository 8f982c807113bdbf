"""No world model: for behaviours that learn from the observations themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.dynamics.base import Latent
from dreamerax.nets.modules import Params
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import WorldModelBase, WorldModelBaseModule


@dataclass(frozen=True)
class Unmodelled(WorldModelBase):
  """Has no latents, no features and nothing to learn, and expects no reward.

  A behaviour under it looks at observations by their names, as `GuidedPolicySearch` does.
  """

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "UnmodelledModule":
    return UnmodelledModule(spec)


class Nothing(NamedTuple):
  """The result of observing a batch."""

  latents: Latent
  embed: jax.Array  # [B, T, 0]


class UnmodelledModule(WorldModelBaseModule):
  """Built from `Unmodelled`; has no parameters."""

  def __init__(self, spec: EnvSpec):
    self.spec = spec

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    return {"nothing": ArraySpec((0,))}

  @property
  def feature_size(self) -> int:
    return 0

  @property
  def scales(self) -> Mapping[str, float]:
    return {}

  @property
  def decoded(self) -> tuple[str, ...]:
    return ()

  def initial(self, batch: int) -> Latent:
    return {"nothing": jnp.zeros((batch, 0))}

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    return latent

  def observe(self, batch: Batch, key: jax.Array) -> Nothing:
    embed = self.encode(batch.steps.observation, key)
    return Nothing({"nothing": embed}, embed)

  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    return latent

  def step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return latent

  def expect(self, latent: Latent, action: jax.Array) -> Latent:
    return latent

  def imagine(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return {"nothing": jnp.zeros((*action.shape[:2], 0))}

  def encode(self, observation: ArrayDict, key: jax.Array) -> jax.Array:
    name, shape = next((name, array.shape) for name, array in self.spec.visible.items())
    seen = observation[name]
    return jnp.zeros((*seen.shape[: seen.ndim - len(shape)], 0))

  def glance(self, embed: jax.Array, key: jax.Array) -> jax.Array:
    return embed

  def features(self, latent: Latent) -> jax.Array:
    return latent["nothing"]

  def expected_reward(self, features: jax.Array) -> jax.Array:
    return jnp.zeros(features.shape[:-1])

  def continue_probability(self, features: jax.Array) -> jax.Array:
    return jnp.ones(features.shape[:-1])

  def decode(self, latent: Latent) -> dict[str, jax.Array]:
    return {}

  def losses(
    self, slow: Params, steps: Transition, seen: Nothing, updates: jax.Array, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    return {}, {}
