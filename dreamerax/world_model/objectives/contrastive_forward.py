"""The contrastive forward model's objective: a predicted state tells the next one from the others of the batch."""

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

_NEVER = -1e30  # score of what is left out; gradients stay finite where all is


@dataclass(frozen=True)
class ContrastiveForward(Objective):
  """InfoNCE between the states that steps predict and the states that are seen (Yan et al. 2020, CFM).

  The score of a state z' and of the prediction from state z_i and action u_i is minus `sharpness` times KL(z' ‖ prediction):
  between points (`Deterministic`) and with a sharpness of 2, minus their squared distance, as published. The loss is the
  cross-entropy of the next state among itself and the current states z_j, j ≠ i, of all pairs of the batch. States just
  before or after are among them, which makes their distance a metric.

  Pairs of two episodes are left out, and where sequences have more than two steps, the next state counts once though it is
  the current state of the next pair. N pairs with statistics of length P take N² P numbers.
  """

  sharpness: float = 2.0  # factor of the divergence in a score
  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.more_than_zero(self, "sharpness")
    checks.at_least(0, self, "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ContrastiveForwardModule":
    return ContrastiveForwardModule(self)


class ContrastiveForwardModule(ObjectiveModule):
  """Built from `ContrastiveForward`; has no parameters."""

  def __init__(self, config: ContrastiveForward):
    self.config = config

  @property
  def scales(self) -> Mapping[str, float]:
    return {"contrast": self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    def pairs(x: jax.Array, *, later: bool) -> jax.Array:
      return jax.lax.collapse(x[:, 1:] if later else x[:, :-1], 0, 2)

    def score(state: jax.Array, predicted: jax.Array) -> jax.Array:
      return -self.config.sharpness * model.dynamics.kl(state, predicted)

    posterior, prior = seen.posterior.astype(jnp.float32), seen.prior.astype(jnp.float32)
    predicted = pairs(prior, later=True)  # [N, P], N = B (T - 1)
    own = score(pairs(posterior, later=True), predicted)  # [N]
    every = score(pairs(posterior, later=False)[None], predicted[:, None])  # [N, N], of pair j's state for pair i
    place = jnp.arange(steps.is_first.size).reshape(steps.is_first.shape)
    current, following = pairs(place, later=False), pairs(place, later=True)
    within = ~pairs(steps.is_first, later=True)  # both steps are of one episode
    others = (current != current[:, None]) & (current != following[:, None]) & within
    every = jax.nn.logsumexp(jnp.where(others, every, _NEVER), -1)
    losses = jnp.logaddexp(own, every) - own
    return {"contrast": mean_where(losses, within)}
