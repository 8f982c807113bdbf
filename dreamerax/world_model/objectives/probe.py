"""A decoder that learns from the latents and teaches them nothing: pictures of a model that is trained without them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax import checks
from dreamerax.nets.decoders import ConvDecoder, Decoder
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes
from dreamerax.world_model.objectives.reconstruction import Reconstruction


@dataclass(frozen=True)
class Probe(Objective):
  """A decoder learns to reconstruct a few sequences of each batch, from features that get no gradient.

  With 2 of 16 sequences it costs an eighth of what `Reconstruction` does.
  """

  decoder: Decoder = field(default_factory=ConvDecoder)
  sequences: int = 2  # of each batch, at most; 0: there is no decoder, and nothing is decoded

  def __post_init__(self):
    checks.at_least(0, self, "sequences")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ProbeModule":
    return ProbeModule(self, sizes, spec, dtype=dtype, rngs=rngs)


class ProbeModule(ObjectiveModule):
  """Built from `Probe`."""

  def __init__(self, config: Probe, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.sequences = config.sequences
    reconstruction = Reconstruction(config.decoder)
    self.reconstruction = reconstruction.build(sizes, spec, dtype=dtype, rngs=rngs) if config.sequences else None

  @property
  def scales(self) -> Mapping[str, float]:
    return {f"probe/{name}": 1.0 for name in self.decoded}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Computes the losses of sequences that lie evenly in the batch, and so on all
    devices that share it."""
    if self.reconstruction is None:
      return {}
    features = jax.lax.stop_gradient(model.features(seen.latents))
    apart = max(1, len(features) // self.sequences)
    few = jax.tree.map(lambda x: x[::apart][: self.sequences], (features, seen.observation))
    losses = self.reconstruction.errors(*few)
    return {name.replace("reconstruction", "probe", 1): loss for name, loss in losses.items()}

  @property
  def decoded(self) -> tuple[str, ...]:
    return () if self.reconstruction is None else self.reconstruction.decoded

  def decode(self, features: jax.Array) -> dict[str, jax.Array]:
    return {} if self.reconstruction is None else self.reconstruction.decode(features)
