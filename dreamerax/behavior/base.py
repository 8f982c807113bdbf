"""Defines what every behaviour, a way of choosing actions, can do; the agent knows no more of it than this."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx

from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.modules import Params
from dreamerax.types import ActionSpec, ArrayDict, EnvSpec, Transition


class Iteration(NamedTuple):
  """Iterations on the newest whole episodes, as `IterationsConfig` makes them and `ReplayConfig(draw="newest")` draws."""

  updates: int = 1  # of an iteration
  warmup: int = 0  # updates before the first iteration's
  older: int = 0  # episodes of any age that follow each of the newest ones in a batch


@dataclass(frozen=True)
class Behavior(abc.ABC):
  """Configuration of a behaviour."""

  def kept_offline(self, action: ActionSpec) -> bool:
    """Whether it stays where a world model is trained alone, as it takes such actions and learns from recorded steps or
    nothing.

    Not by default: an actor-critic learns in imagination. The run directory then holds an agent that acts.
    """
    return False

  @abc.abstractmethod
  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "BehaviorModule":
    """features: length of a latent's features.

    Raises:
      ValueError: the behaviour does not fit the environment.
    """

  @property
  def iteration(self) -> Iteration | None:
    """The iterations that it learns in, where it does from the newest whole episodes of its own; None: from any steps."""
    return None


Memory = dict[str, Any]  # what a behaviour remembers from decision to decision: arrays [E, ...], or dicts of them

Optimizers = Mapping[str, Any]  # by name of a child: what trains it (an Optimizer), or the same of the child's children


class Situation(NamedTuple):
  """The input of a decision in E environments."""

  latent: Latent  # [E, F]
  memory: Memory  # as `initial_memory` or the decision before left it
  hidden: ArrayDict  # {name: [E, *shape]}, the observations that the behaviour `needs`
  state: Params  # the behaviour's state beside its parameters, as far as `acting` gives it


class Replayed(NamedTuple):
  """The replayed batch as the world model sees it; features and embed carry gradients into the world model."""

  features: jax.Array  # [B, T, F]
  embed: jax.Array  # [B, T, E], for `World.glance`
  steps: Transition  # [B, T], hidden observations included


class BehaviorLosses(NamedTuple):
  """The results of a behaviour for one batch."""

  losses: dict[str, jax.Array]  # scalars, not scaled
  slow: Params  # the behaviour's state beside its parameters, with running statistics brought up to date
  metrics: dict[str, jax.Array]  # scalars


class TrainedModule(nnx.Module):
  """A part of a behaviour with losses, optimisers and slow state; it has none by
  default."""

  def init_slow(self) -> Params:
    """State beside the optimised parameters: target networks, running statistics."""
    return {}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    """Called after each optimiser step, with the new parameters in place. updates: how many were made before this one."""
    return slow

  @property
  def optimizers(self) -> Optimizers:
    """The optimiser of each of the module's children that has parameters."""
    return {}

  @property
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total."""
    return {}

  @property
  def events(self) -> tuple[str, ...]:
    """Names of the events whose probabilities it asks the world for; none by default."""
    return ()


class BehaviorModule(TrainedModule):
  """Chooses actions in a latent state, and may learn to by imagination."""

  @abc.abstractmethod
  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    """Decides in E environments.

    Args:
      explore: static; True samples, False takes the best known action.

    Returns:
      Actions [E, A], and the memory for the next decision.
    """

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    """The memory for the next decision, where somebody else took `action` [E, A] in place of what `act` would choose.

    By default that at the start of an episode: what the behaviour had in mind is void.
    """
    return self.initial_memory(len(action))

  follows_pixels: bool = False
  """Whether `act` needs a world model that moves pixels, `World.move`."""
  compares_images: bool = False
  """Whether `act` needs a world model that decodes all visible images, by `World.decode`."""

  @property
  def needs(self) -> tuple[str, ...]:
    """Names of the hidden observations that `act` looks at; none by default. The environment shows them."""
    return ()

  def initial_memory(self, num_envs: int) -> Memory:
    """Memory at the start of an episode: zeros [E, ...], nothing by default."""
    return {}

  def value(self, features: jax.Array) -> jax.Array | None:
    """features [..., F] -> expected discounted return [...] from there on; None, the default, where no critic learns it."""
    return None

  def acting(self, slow: Params) -> Params:
    """The part of `slow` that `act` gets as its situation's state, closed-form gains say; nothing by default."""
    return {}

  @abc.abstractmethod
  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """world: gives no gradient to its own parameters. start: [B T, F] latents, B-major, without gradient."""
