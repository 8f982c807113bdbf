"""Smoothness: what is seen moves without jerks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.ops.transforms import mean_where
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes


@dataclass(frozen=True)
class Smoothness(Objective):
  """The squared change of the features' velocity, |f_t+1 - 2 f_t + f_t-1|² (Finn et al. 2016).

  Of three steps of one episode; the mean over all of a batch. Constant velocities cost nothing.
  """

  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "SmoothnessModule":
    return SmoothnessModule(self)


class SmoothnessModule(ObjectiveModule):
  """Built from `Smoothness`; has no parameters."""

  def __init__(self, config: Smoothness):
    self.config = config

  @property
  def scales(self) -> Mapping[str, float]:
    return {"smoothness": self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Raises ValueError: sequences are shorter than three steps."""
    if steps.is_first.shape[1] < 3:
      raise ValueError(f"replay.batch_length={steps.is_first.shape[1]}: smoothness compares three steps; raise it to 3")
    features = model.features(seen.latents).astype(jnp.float32)
    first = jnp.asarray(steps.is_first)
    within = ~(first[:, 1:-1] | first[:, 2:])  # all three are of one episode
    change = jnp.square(features[:, 2:] - 2 * features[:, 1:-1] + features[:, :-2]).sum(-1)
    return {"smoothness": mean_where(change, within)}
