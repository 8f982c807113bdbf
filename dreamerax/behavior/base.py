"""What every way of choosing actions can do; the agent knows no more of it than this."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx

from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.modules import Params
from dreamerax.ops.optimizers import Optimizer
from dreamerax.types import ActionSpec, Transition


@dataclass(frozen=True)
class Behavior(abc.ABC):
  """Configuration of a behaviour."""

  @abc.abstractmethod
  def build(self, features: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "BehaviorModule":
    """features: length of a latent's features."""


class Replayed(NamedTuple):
  """The replayed batch as the world model sees it; its features carry gradients into the world model."""

  features: jax.Array  # [B, T, F]
  steps: Transition  # [B, T]


class BehaviorLosses(NamedTuple):
  """What one look at a batch gave."""

  losses: dict[str, jax.Array]  # scalars, not scaled
  slow: Params  # the behaviour's state beside its parameters, with running statistics brought up to date
  metrics: dict[str, jax.Array]  # scalars


class BehaviorModule(nnx.Module):
  """Chooses actions from features, and learns to by imagination."""

  @abc.abstractmethod
  def act(self, features: jax.Array, key: jax.Array, *, explore: bool) -> jax.Array:
    """features [E, F] -> actions [E, A]: sampled, or (explore = False) the best known."""

  @abc.abstractmethod
  def init_slow(self) -> Params:
    """State beside the optimised parameters: target networks, running statistics."""

  @abc.abstractmethod
  def update_slow(self, slow: Params) -> Params:
    """Called after each optimiser step, with the new parameters in place."""

  @abc.abstractmethod
  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """world: gives no gradient to its own parameters. start: [B T, F] latents, B-major, without gradient."""

  @property
  @abc.abstractmethod
  def optimizers(self) -> Mapping[str, Optimizer]:
    """What trains each of the module's children, by name."""

  @property
  @abc.abstractmethod
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total."""
