"""Embed to Control's objective: the next observation is decoded from the prediction, which agrees with what is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.ops.transforms import symlog
from dreamerax.types import Array, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Seen, Sizes
from dreamerax.world_model.objectives.reconstruction import Reconstruction, ReconstructionModule


@dataclass(frozen=True)
class Foresight(Reconstruction):
  """One decoder finds an observation from its own latent and from the one that the step before it predicts.

  Beside the squared errors of both stand KL(q ‖ N(0, I)) of each posterior q, and KL(prior ‖ posterior), in this order,
  of each step and the one before it (Watter et al. 2015). A prediction is one draw of the prior; pairs
  of two episodes are left out. N(0, I) is what statistics of zeros stand for in `FactoredGaussian`.

  The published likelihood is Bernoulli; here it is a Gaussian's, as everywhere, and `scale` says how sharp it is.
  """

  consistency: float = 0.25  # factor of KL(prior ‖ posterior) in the total loss, λ
  normality: float = 1.0  # factor of KL(posterior ‖ N(0, I)) in the total loss

  def __post_init__(self):
    super().__post_init__()
    checks.at_least(0, self, "consistency", "normality")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ForesightModule":
    return ForesightModule(self, sizes, spec, dtype=dtype, rngs=rngs)


class ForesightModule(ReconstructionModule):
  """Built from `Foresight`."""

  config: Foresight

  @property
  def scales(self) -> Mapping[str, float]:
    foreseen = {f"foresight/{name}": self.config.scale for name in self.spec.visible}
    others = {"consistency": self.config.consistency, "normality": self.config.normality}
    return {**super().scales, **foreseen, **others}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    dynamics, within = model.dynamics, ~steps.is_first[:, 1:]  # both steps are of one episode

    def mean(rows: jax.Array) -> jax.Array:
      """The mean over [B, T - 1], where both steps are of one episode."""
      return jnp.where(within, rows, 0).sum() / jnp.maximum(within.sum(), 1)

    before = jax.tree.map(lambda x: x[:, :-1], seen.latents)
    expected = dynamics.imagine_step(before, jnp.asarray(steps.action[:, 1:]), key)
    predicted = self.decoder(*self._split(model.features(expected)))
    errors = {
      f"foresight/{name}": mean(self._error(name, image, seen.observation[name][:, 1:]))
      for name, image in predicted.items()
    }
    return {
      **super().losses(slow, model, seen, steps, updates, key),
      **errors,
      "consistency": mean(dynamics.kl(seen.prior[:, 1:], seen.posterior[:, 1:])),
      "normality": dynamics.kl(seen.posterior, jnp.zeros_like(seen.posterior)),
    }

  def _error(self, name: str, predicted: jax.Array, truth: Array) -> jax.Array:
    """Squared error [B, T - 1] of what the decoder gives, summed over an observation's entries."""
    truth = jnp.asarray(truth, jnp.float32)
    truth = truth / 255 if self.spec.observation[name].is_image else symlog(truth)
    return jnp.square(predicted - truth).sum(tuple(range(2, truth.ndim)))
