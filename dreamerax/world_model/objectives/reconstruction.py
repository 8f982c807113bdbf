"""Reconstruction: a decoder finds the observation again, by squared errors summed over its entries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.decoders import ConvDecoder, Decoder, DecoderModule
from dreamerax.nets.modules import Params, params_of, with_params
from dreamerax.ops.chunks import chunk_size, mean_over_chunks
from dreamerax.ops.transforms import symexp, symlog
from dreamerax.types import Array, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes


@dataclass(frozen=True)
class Reconstruction(Objective):
  """The visible observations are decoded from the latent (Kingma & Welling 2014)."""

  decoder: Decoder = field(default_factory=ConvDecoder)
  scale: float = 1.0  # factor of the squared errors in the total loss; half of them is a unit Gaussian's

  def __post_init__(self):
    checks.at_least(0, self, "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ReconstructionModule":
    return ReconstructionModule(self, sizes, spec, dtype=dtype, rngs=rngs)


class ReconstructionModule(ObjectiveModule):
  """Built from `Reconstruction`."""

  def __init__(self, config: Reconstruction, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.spec, self.recurrent = config, spec, sizes.recurrent
    sampled = sizes.features - sizes.recurrent
    self.decoder = config.decoder.build(spec.visible, sizes.recurrent, sampled, dtype=dtype, rngs=rngs)

  @property
  def scales(self) -> Mapping[str, float]:
    return {f"reconstruction/{name}": self.config.scale for name in self.spec.visible}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    return self.errors(model.features(seen.latents), seen.observation)

  def errors(self, features: jax.Array, observation: Mapping[str, Array]) -> dict[str, jax.Array]:
    """The losses from features [B, T, F] and the observation {name: [B, T, *shape]} that they stand for."""
    deter, stoch = self._split(features)
    return reconstruction_losses(self.decoder, deter, stoch, observation)

  @property
  def decoded(self) -> tuple[str, ...]:
    return tuple(self.spec.visible)

  def decode(self, features: jax.Array) -> dict[str, jax.Array]:
    decoded = self.decoder(*self._split(features))
    return {name: x if self.spec.observation[name].is_image else symexp(x) for name, x in decoded.items()}

  def _split(self, features: jax.Array) -> list[jax.Array]:
    return jnp.split(features, [self.recurrent], -1)


def reconstruction_losses(
  decoder: DecoderModule, deter: jax.Array, stoch: jax.Array, observation: Mapping[str, Array]
) -> dict[str, jax.Array]:
  """Squared error of each observation, summed over its entries: {"reconstruction/<name>": scalar or [B, T]}.

  Of latents deter [B, T, D], stoch [B, T, S] and observation {name: [B, T, *shape]}. Images are compared in [0, 1], vectors in
  symlog space (Hafner et al. 2023). An image's error is the mean over the batch already, because that is how a CPU computes its
  gradient fast.
  """
  losses = {}
  if decoder.images:
    small = decoder.project(deter, stoch)
    truth = {name: jnp.asarray(observation[name]) for name in decoder.images}
    truth = {name: image.reshape(-1, *image.shape[2:]) for name, image in truth.items()}

    def errors(params: Params, small: jax.Array, truth: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
      return with_params(decoder, params).errors(small, truth)

    losses |= mean_over_chunks(errors, chunk_size(decoder.largest), params_of(decoder), small, truth)
  for name, prediction in decoder.decode_vectors(deter, stoch).items():
    error = jnp.square(prediction - symlog(jnp.asarray(observation[name], jnp.float32)))
    losses[name] = error.sum(tuple(range(2, error.ndim)))
  return {f"reconstruction/{name}": loss for name, loss in losses.items()}
