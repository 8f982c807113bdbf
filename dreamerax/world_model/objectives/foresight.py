"""Embed to Control's objective: the next observation is decoded from the prediction, which agrees with what is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.ops.transforms import mean_where, symlog
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Seen, Sizes
from dreamerax.world_model.objectives.reconstruction import Reconstruction, ReconstructionModule


@dataclass(frozen=True)
class Foresight(Reconstruction):
  """One decoder finds an observation from its own latent and from the one that the step before it predicts.

  Beside the decoder's errors of both stand KL(q ‖ N(0, I)) of each posterior q, and KL(prior ‖ posterior), in this order,
  of each step and the one before it (Watter et al. 2015). A prediction is one draw of the prior; pairs
  of two episodes are left out. N(0, I) is what statistics of zeros stand for in `FactoredGaussian`.

  The likelihood of an image is the decoder's: a `BernoulliDecoder` has the published one.
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
      return mean_where(rows, within)

    before = jax.tree.map(lambda x: x[:, :-1], seen.latents)
    expected = dynamics.imagine_step(before, jnp.asarray(steps.action[:, 1:]), key)
    observation = {name: jnp.asarray(seen.observation[name][:, 1:]) for name in self.spec.visible}
    errors = self._errors(model.features(expected), observation)
    return {
      **super().losses(slow, model, seen, steps, updates, key),
      **{f"foresight/{name}": mean(error) for name, error in errors.items()},
      "consistency": mean(dynamics.kl(seen.prior[:, 1:], seen.posterior[:, 1:])),
      "normality": dynamics.kl(seen.posterior, jnp.zeros_like(seen.posterior)),
    }

  def _errors(self, features: jax.Array, observation: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Errors {name: [B, T - 1]} of what is decoded from features [B, T - 1, F], summed over an observation's entries."""
    leading, (deter, stoch) = features.shape[:2], self._split(features)
    errors: dict[str, jax.Array] = {}
    if self.decoder.images:
      truth = {name: jax.lax.collapse(observation[name], 0, 2) for name in self.decoder.images}
      found = self.decoder.errors(self.decoder.project(deter, stoch), truth)
      errors |= {name: error.reshape(leading) for name, error in found.items()}
    for name, vector in self.decoder.decode_vectors(deter, stoch).items():
      error = jnp.square(vector - symlog(observation[name].astype(jnp.float32)))
      errors[name] = error.sum(tuple(range(2, error.ndim)))
    return errors
