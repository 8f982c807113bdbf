"""KL objectives: how posterior and prior are drawn together."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes

Divergence = Callable[[jax.Array, jax.Array], jax.Array]  # statistics [..., P] of q and of p -> KL(q ‖ p) [...] in nats


@dataclass(frozen=True)
class KL(Objective):
  """Configuration of a KL objective, which has no parameters.

  Where an episode begins, the posterior is compared with the prior that follows the empty state.
  """

  @property
  @abc.abstractmethod
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total."""

  @abc.abstractmethod
  def losses(self, kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    """Losses in nats from statistics [B, T, P]: [B, T], or scalars where they are taken of the batch's mean."""

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "KLModule":
    return KLModule(self)


class KLModule(ObjectiveModule):
  """Built from a `KL`."""

  def __init__(self, config: KL):
    self.config = config

  @property
  def scales(self) -> Mapping[str, float]:
    return self.config.scales

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    return self.config.losses(model.dynamics.kl, seen.posterior, seen.prior)


@dataclass(frozen=True)
class FreeBits(KL):
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
    return {"dynamics": self.dynamics_scale, "representation": self.representation_scale}

  def losses(self, kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    return jax.tree.map(lambda x: jnp.maximum(x, self.free_nats), _both_ways(kl, posterior, prior))


@dataclass(frozen=True)
class BalancedKL(KL):
  """Dreamer v2's KL balancing: free nats on the batch's mean (Hafner et al. 2021, section 2.1 and Algorithm 2).

  The prior moves towards the posterior `balance / (1 - balance)` times as fast as the posterior towards the prior.
  """

  free_nats: float = 1.0  # of the mean over the batch
  balance: float = 0.8  # share of the loss that trains the prior
  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "free_nats", "scale")
    checks.between(0, 1, self, "balance")

  @property
  def scales(self) -> dict[str, float]:
    return {"dynamics": self.scale * self.balance, "representation": self.scale * (1 - self.balance)}

  def losses(self, kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    return jax.tree.map(lambda x: jnp.maximum(x.mean(), self.free_nats), _both_ways(kl, posterior, prior))


@dataclass(frozen=True)
class PlainKL(KL):
  """The KL of the evidence lower bound: no free nats, no balancing. Between points it is half the squared distance."""

  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "scale")

  @property
  def scales(self) -> dict[str, float]:
    return {"kl": self.scale}

  def losses(self, kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    return {"kl": kl(posterior, prior)}


@dataclass(frozen=True)
class AnnealedKL(PlainKL):
  """`PlainKL` whose weight rises linearly from `begin` times its scale to all of it, over the first `updates`.

  A posterior that has found nothing yet is else drawn to the prior before it does (Bowman et al. 2016).
  """

  begin: float = 0.1  # share of the scale in the first update
  updates: int = 1000  # until all of it counts

  def __post_init__(self):
    super().__post_init__()
    checks.between(0, 1, self, "begin")
    checks.at_least(1, self, "updates")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "AnnealedKLModule":
    return AnnealedKLModule(self)


class AnnealedKLModule(KLModule):
  """Built from an `AnnealedKL`."""

  config: AnnealedKL

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    share = jnp.minimum(updates / self.config.updates, 1) * (1 - self.config.begin) + self.config.begin
    return {name: share * loss for name, loss in super().losses(slow, model, seen, steps, updates, key).items()}


@dataclass(frozen=True)
class _OneLoss(KL):
  """One loss that trains posterior and prior alike."""

  free_nats: float = 3.0  # what they are counted over, subclasses say
  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(0, self, "free_nats", "scale")

  @property
  def scales(self) -> dict[str, float]:
    return {"kl": self.scale}


@dataclass(frozen=True)
class StateFreeNats(_OneLoss):
  """PlaNet's KL: one loss for posterior and prior, that above `free_nats` of each state (Hafner et al. 2019, section 5).

  The published code subtracts the free nats, which changes the value and no gradient.
  """

  def losses(self, kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    return {"kl": jnp.maximum(kl(posterior, prior), self.free_nats)}


@dataclass(frozen=True)
class MeanFreeNats(_OneLoss):
  """Dreamer v1's KL: one loss for posterior and prior, free nats on the batch's mean (as in its published code)."""

  def losses(self, kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    return {"kl": jnp.maximum(kl(posterior, prior).mean(), self.free_nats)}


def _both_ways(kl: Divergence, posterior: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
  """The same KL [B, T] twice, with a gradient into one side each."""
  stop = jax.lax.stop_gradient
  return {"dynamics": kl(stop(posterior), prior), "representation": kl(posterior, stop(prior))}
