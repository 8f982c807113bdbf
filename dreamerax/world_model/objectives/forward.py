"""A forward model's objective: how far the predicted state is from the one that is seen."""

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
class Forward(Objective):
  """KL(posterior ‖ prior) of each step and the one before: half the squared distance between points (`Deterministic`).

  Unlike a `KL`, it leaves out the first step of an episode, whose prior has no past. The gradient reaches the states on
  both ends. It is least where all states are one: another loss has to hold them apart, such as that of `InverseControl`
  (Agrawal et al. 2016).
  """

  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ForwardModule":
    return ForwardModule(self)


class ForwardModule(ObjectiveModule):
  """Built from `Forward`; has no parameters."""

  def __init__(self, config: Forward):
    self.config = config

  @property
  def scales(self) -> Mapping[str, float]:
    return {"forward": self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    posterior, prior = (x[:, 1:].astype(jnp.float32) for x in (seen.posterior, seen.prior))
    within = ~steps.is_first[:, 1:]  # both steps are of one episode
    return {"forward": mean_where(model.dynamics.kl(posterior, prior), within)}
