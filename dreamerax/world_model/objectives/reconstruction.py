"""Reconstruction losses: squared errors summed over an observation."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from dreamerax.nets.decoders import DecoderModule
from dreamerax.nets.modules import Params, params_of, with_params
from dreamerax.ops.chunks import chunk_size, mean_over_chunks
from dreamerax.ops.transforms import symlog
from dreamerax.types import Array


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
    small = decoder.sketch(deter, stoch)
    truth = {name: jnp.asarray(observation[name]) for name in decoder.images}
    truth = {name: image.reshape(-1, *image.shape[2:]) for name, image in truth.items()}

    def errors(params: Params, small: jax.Array, truth: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
      painted = with_params(decoder, params).paint(small)
      return {name: _squared(painted[name], truth[name].astype(jnp.float32) / 255, 1) for name in painted}

    losses |= mean_over_chunks(errors, chunk_size(decoder.largest), params_of(decoder), small, truth)
  for name, prediction in decoder.decode_vectors(deter, stoch).items():
    losses[name] = _squared(prediction, symlog(jnp.asarray(observation[name], jnp.float32)), 2)
  return {f"reconstruction/{name}": loss for name, loss in losses.items()}


def _squared(prediction: jax.Array, truth: jax.Array, leading: int) -> jax.Array:
  """Squared error summed over all but the leading axes."""
  error = jnp.square(prediction - truth)
  return error.sum(tuple(range(leading, error.ndim)))
