"""What every way of choosing actions can do; the agent knows no more of it than this."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx

from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.modules import Params
from dreamerax.types import ActionSpec, Transition


@dataclass(frozen=True)
class Behavior(abc.ABC):
  """Configuration of a behaviour."""

  @abc.abstractmethod
  def build(self, features: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "BehaviorModule":
    """features: length of a latent's features."""


Memory = dict[str, jax.Array]  # what a behaviour remembers from decision to decision, [E, ...]

Optimizers = Mapping[str, Any]  # by name of a child: what trains it (an Optimizer), or the same of the child's children


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
  """Chooses actions in a latent state, and may learn to by imagination."""

  @abc.abstractmethod
  def act(
    self, world: World, latent: Latent, memory: Memory, key: jax.Array, *, explore: bool
  ) -> tuple[jax.Array, Memory]:
    """Decides in E environments.

    Args:
      latent: [E, F]. memory: as `initial_memory` or the decision before left it.
      explore: static; True samples, False takes the best known action.

    Returns:
      Actions [E, A], and the memory for the next decision.
    """

  def initial_memory(self, num_envs: int) -> Memory:
    """Memory at the start of an episode: zeros [E, ...], nothing by default."""
    return {}

  def value(self, features: jax.Array) -> jax.Array | None:
    """features [..., F] -> expected discounted return [...] from there on; None, the default, where no critic learns it."""
    return None

  @abc.abstractmethod
  def init_slow(self) -> Params:
    """State beside the optimised parameters: target networks, running statistics."""

  @abc.abstractmethod
  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    """Called after each optimiser step, with the new parameters in place. updates: how many were made before this one."""

  @abc.abstractmethod
  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """world: gives no gradient to its own parameters. start: [B T, F] latents, B-major, without gradient."""

  @property
  @abc.abstractmethod
  def optimizers(self) -> Optimizers:
    """What trains each of the module's children."""

  @property
  @abc.abstractmethod
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total."""
