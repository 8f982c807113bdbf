"""Latent overshooting: priors of several steps ahead are drawn to the posteriors too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import DynamicsModule, Latent
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes


@dataclass(frozen=True)
class Overshooting(Objective):
  """Multi-step KL of PlaNet (Hafner et al. 2019, Eq. 7).

  From every posterior the model imagines the recorded actions; the prior d steps later is compared with the posterior there,
  for d = 2 … distance (d = 1 is the ordinary KL). Free nats count per state, posteriors get no gradient, pairs with the
  beginning of an episode between them are left out.

  PlaNet's published curves do without it, and its code has the scale 0. There the mean also runs over pairs whose later half
  lies beyond the sequence; here it runs over those that exist, as in the paper. (Read, not run side by side.)
  """

  distance: int = 50  # agent steps
  free_nats: float = 3.0  # per state
  scale: float = 0.0  # factor in the total loss

  def __post_init__(self):
    if self.distance < 2:
      raise ValueError(f"distance={self.distance} must be at least 2: one step ahead is what the KL loss does")
    checks.at_least(0, self, "free_nats", "scale")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "OvershootingModule":
    return OvershootingModule(self)

  def loss(
    self, dynamics: DynamicsModule, latents: Latent, stats: jax.Array, steps: Transition, key: jax.Array
  ) -> jax.Array:
    """Mean over all pairs, in nats; scalar.

    Args:
      latents, stats: [B, T, ...] posteriors and their statistics. steps: [B, T].
    """
    length = stats.shape[1]
    distance = min(self.distance, length - 1)
    target = jax.lax.stop_gradient(stats)

    def later(x: jax.Array, by: int | jax.Array) -> jax.Array:
      return jnp.roll(x, -by, 1)  # what comes round from the front is masked

    def step(carry, inputs):
      latent, valid = carry  # imagined from `d - 1` steps before
      d, key = inputs
      latent = dynamics.imagine_step(latent, later(steps.action, d), key)
      valid = valid & ~later(steps.is_first, d) & (jnp.arange(length) + d < length)
      kl = jnp.maximum(dynamics.kl(later(target, d), dynamics.prior(latent)), self.free_nats)
      counts = valid & (d > 1)
      return (latent, valid), (jnp.where(counts, kl, 0.0).sum(), counts.sum())

    valid = jnp.ones(stats.shape[:2], bool)
    distances = jnp.arange(1, distance + 1)
    _, (total, count) = jax.lax.scan(step, (latents, valid), (distances, jax.random.split(key, distance)))
    return total.sum() / jnp.maximum(count.sum(), 1)


class OvershootingModule(ObjectiveModule):
  """Built from `Overshooting`; has no parameters."""

  def __init__(self, config: Overshooting):
    self.config = config

  @property
  def scales(self) -> Mapping[str, float]:
    return {"overshooting": self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    return {"overshooting": self.config.loss(model.dynamics, seen.latents, seen.posterior, steps, key)}
