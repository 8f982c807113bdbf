"""A world model for environments that show their true state: the state is what is seen, and moves as a behaviour fits it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dreamerax.dynamics.base import Latent
from dreamerax.nets.heads import QuadraticHead, ScalarHead
from dreamerax.nets.modules import Params
from dreamerax.nets.observations import concatenate_vectors, image_keys, vector_shapes
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import WorldModelBase, WorldModelBaseModule


@dataclass(frozen=True)
class TrueState(WorldModelBase):
  """The features are the vectors that the environment shows, one after the other, as they are.

  Only the reward is learned. Without an observation the state is expected to stay, which is what a behaviour that fits
  dynamics of its own, such as `LocalLQR`, begins from.
  """

  reward: ScalarHead = field(default_factory=QuadraticHead)
  discount: float = 1.0

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "TrueStateModule":
    """Raises ValueError where an image is shown."""
    images = image_keys(spec.visible)
    if images:
      raise ValueError(
        f"world_model=TrueState takes the state that the environment shows, and {images[0]!r} is an image: "
        "name the task's vectors, such as --observations state for e2c/ tasks, or position velocity for goal/ tasks"
      )
    return TrueStateModule(self, spec, dtype=dtype, rngs=rngs)


class Viewed(NamedTuple):
  """The result of observing a batch."""

  latents: Latent
  embed: jax.Array  # [B, T, F]


class TrueStateModule(WorldModelBaseModule):
  """Built from `TrueState`."""

  def __init__(self, config: TrueState, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.spec = config, spec
    self.shapes = vector_shapes(spec.visible)
    self.size = sum(math.prod(shape) for _, shape in self.shapes)
    self.reward = config.reward.build(self.size, dtype=dtype, rngs=rngs)

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    return {"state": ArraySpec((self.size,))}

  @property
  def feature_size(self) -> int:
    return self.size

  @property
  def scales(self) -> Mapping[str, float]:
    return {"reward": 1.0}

  @property
  def decoded(self) -> tuple[str, ...]:
    return tuple(self.spec.visible)

  def initial(self, batch: int) -> Latent:
    return {"state": jnp.zeros((batch, self.size))}

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    return latent

  def observe(self, batch: Batch, key: jax.Array) -> Viewed:
    state = self.encode(batch.steps.observation, key)
    return Viewed({"state": state}, state)

  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    return {"state": self.encode(observation, key)}

  def step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return latent

  def expect(self, latent: Latent, action: jax.Array) -> Latent:
    return latent

  def imagine(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    state = latent["state"]
    return {"state": jnp.broadcast_to(state[:, None], (*action.shape[:2], self.size))}

  def encode(self, observation: ArrayDict, key: jax.Array) -> jax.Array:
    return concatenate_vectors(observation, self.shapes)

  def glance(self, embed: jax.Array, key: jax.Array) -> jax.Array:
    return embed

  def features(self, latent: Latent) -> jax.Array:
    return latent["state"]

  def expected_reward(self, features: jax.Array) -> jax.Array:
    return self.reward(features).mean()

  def continue_probability(self, features: jax.Array) -> jax.Array:
    return jnp.full(features.shape[:-1], self.config.discount)

  def decode(self, latent: Latent) -> dict[str, jax.Array]:
    state, ends = latent["state"], np.cumsum([math.prod(shape) for _, shape in self.shapes])
    parts = jnp.split(state, ends[:-1], -1)
    return {name: x.reshape(*x.shape[:-1], *shape) for (name, shape), x in zip(self.shapes, parts, strict=True)}

  def losses(
    self, slow: Params, steps: Transition, seen: Viewed, updates: jax.Array, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    return {"reward": -self.reward(seen.embed).log_prob(steps.reward)}, {}
