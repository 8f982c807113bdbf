"""Reconstruction losses: squared errors summed over an observation."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from dreamerax.ops.transforms import symlog
from dreamerax.types import Array, ArraySpec


def reconstruction_losses(
  decoded: Mapping[str, jax.Array], observation: Mapping[str, Array], spec: Mapping[str, ArraySpec]
) -> dict[str, jax.Array]:
  """Squared error of each observation, summed over its entries: {"reconstruction/<name>": [B, T]}.

  Images are compared in [0, 1], vectors in symlog space (Hafner et al. 2023).
  """
  losses = {}
  for key, prediction in decoded.items():
    truth = jnp.asarray(observation[key], jnp.float32)
    truth = truth / 255 if spec[key].is_image else symlog(truth)
    error = jnp.square(prediction - truth)
    losses[f"reconstruction/{key}"] = error.sum(tuple(range(2, error.ndim)))
  return losses
