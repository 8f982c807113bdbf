"""InfoNCE between latents and embeddings, in place of a decoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes
from dreamerax.world_model.objectives.projection import Projection


@dataclass(frozen=True)
class InfoNCE(Objective):
  """The features of a step tell its embedding from those of all other steps of the batch (van den Oord et al. 2018).

  Scores are inner products of projected features with embeddings, without temperature, as in R2-Dreamer's comparison.
  The embedding gets no gradient from this loss: the encoder learns through the posterior.
  """

  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "InfoNCEModule":
    return InfoNCEModule(self, sizes, dtype=dtype, rngs=rngs)


class InfoNCEModule(ObjectiveModule):
  """Built from `InfoNCE`."""

  def __init__(self, config: InfoNCE, sizes: Sizes, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.projection = Projection(sizes, dtype=dtype, rngs=rngs)

  @property
  def scales(self) -> Mapping[str, float]:
    return {"infonce": self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Latent and embedding are of the same step, so that no pair lies across the beginning of an episode."""
    projected, embed = self.projection(model.features(seen.latents), seen.embed)
    every, own = projected @ embed.T, (projected * embed).sum(-1)  # [N, N], [N]
    return {"infonce": (jax.nn.logsumexp(every, -1) - own).mean()}
