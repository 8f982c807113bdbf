"""KL objectives: how posterior and prior are drawn together."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax.ops import checks


@dataclass(frozen=True)
class FreeBits:
  """DreamerV3's pair of KL losses with free nats per state (Hafner et al. 2023, Eq. 3).

  "dynamics" trains the prior towards the posterior, "representation" the posterior towards the prior; neither counts below
  `free_nats`.
  """

  free_nats: float = 1.0  # per state
  dynamics_scale: float = 1.0  # factor in the total loss
  representation_scale: float = 0.1  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "free_nats", "dynamics_scale", "representation_scale")

  @property
  def scales(self) -> dict[str, float]:
    """Factor of each loss in the total."""
    return {"dynamics": self.dynamics_scale, "representation": self.representation_scale}

  def losses(
    self, kl: Callable[[jax.Array, jax.Array], jax.Array], posterior: jax.Array, prior: jax.Array
  ) -> dict[str, jax.Array]:
    """kl: maps two statistics [B, T, P] to [B, T]. Returns the losses [B, T], in nats."""
    stop = jax.lax.stop_gradient
    return {
      "dynamics": jnp.maximum(kl(stop(posterior), prior), self.free_nats),
      "representation": jnp.maximum(kl(posterior, stop(prior)), self.free_nats),
    }
