"""Redundancy reduction between latents and embeddings, in place of a decoder (R2-Dreamer)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes
from dreamerax.world_model.objectives.projection import Projection

_TINY = 1e-8  # added to deviations: an entry that is constant over the batch correlates with nothing


@dataclass(frozen=True)
class Barlow(Objective):
  """R2-Dreamer's loss (Morihira et al. 2026, arXiv 2603.18202), after Barlow Twins (Zbontar et al. 2021, Eq. 1).

  The features of a step, projected to the length of its embedding, should correlate over the batch with the same entry
  of the embedding, and with no other. The embedding gets no gradient from this loss: the encoder learns through the
  posterior.

  The first sum of the loss has as many terms as an embedding has entries. The published scale is for those of the
  published sizes, 1024 at 12m.
  """

  redundancy: float = 5e-4  # weight of the correlations between different entries
  scale: float = 0.05  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "redundancy", "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "BarlowModule":
    return BarlowModule(self, sizes, dtype=dtype, rngs=rngs)


class BarlowModule(ObjectiveModule):
  """Built from `Barlow`."""

  def __init__(self, config: Barlow, sizes: Sizes, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.projection = Projection(sizes, dtype=dtype, rngs=rngs)

  @property
  def scales(self) -> Mapping[str, float]:
    return {"barlow": self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Latent and embedding are of the same step, so that no pair lies across the beginning of an episode."""
    projected, embed = self.projection(model.features(seen.latents), seen.embed)
    return {"barlow": redundancy_reduction(projected, embed, self.config.redundancy)}


def redundancy_reduction(one: jax.Array, other: jax.Array, redundancy: float) -> jax.Array:
  """Σ_i (C_ii - 1)² + redundancy Σ_{i≠j} C_ij², of the correlations C [E, E] of two float32 [N, E] over N rows.

  As in the published code, deviations divide by N - 1 and correlations by N.
  """
  correlations = _standardised(one).T @ _standardised(other) / len(one)
  same = jnp.eye(len(correlations))
  return (jnp.where(same, 1.0, redundancy) * jnp.square(correlations - same)).sum()


def _standardised(x: jax.Array) -> jax.Array:
  """[N, E] with the mean 0 and the deviation 1 over its rows."""
  centred = x - x.mean(0)
  # A constant entry's deviation is 0, where the square root has no gradient.
  variance = jnp.square(centred).sum(0) / max(1, len(x) - 1)
  deviation = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
  return centred / (deviation + _TINY)
