"""Defines what every objective of a world model can do; the world model knows no more of it than this."""

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
from flax import nnx

from dreamerax.dynamics.base import DynamicsModule, Latent
from dreamerax.nets.encoders import EncoderModule
from dreamerax.nets.modules import Params
from dreamerax.types import ArrayDict, EnvSpec, Transition


class Sizes(NamedTuple):
  """Lengths of the vectors that an objective gets."""

  embed: int  # E, of an observation's embedding
  features: int  # F, of a latent's features
  recurrent: int  # D: the first D features are the recurrent state, the others the sample


class Seen(NamedTuple):
  """The result of observing a batch."""

  observation: ArrayDict  # {name: [B, T, ...]}, as the encoder saw it; hidden ones as recorded
  embed: jax.Array  # [B, T, E]
  latents: Latent  # [B, T, F], of the posterior
  posterior: jax.Array  # [B, T, P] statistics
  prior: jax.Array  # [B, T, P] statistics of the same steps without their observations


class Model(Protocol):
  """The parts of a world model that an objective may use; it gives gradients to all of them."""

  encoder: EncoderModule
  dynamics: DynamicsModule

  def features(self, latent: Latent) -> jax.Array:
    """Latent [..., F] -> [..., F], one vector of all its entries."""
    ...


@dataclass(frozen=True)
class Objective(abc.ABC):
  """Configuration of an objective."""

  @abc.abstractmethod
  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ObjectiveModule":
    """Raises ValueError where the objective does not fit the observations."""


class ObjectiveModule(nnx.Module):
  """Losses that train a world model, and the parameters that only they need: a decoder, a projection, or none."""

  @property
  @abc.abstractmethod
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total. The names are unique among all losses of an agent."""

  @abc.abstractmethod
  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Losses {name: [B, T] or scalar}, not scaled.

    A loss that compares a step with the one before it leaves out the steps where `is_first` holds: that pair is of two
    episodes.

    Args:
      slow: the objective's state beside its parameters, as `init_slow` and `update_slow` make it.
      steps: [B, T, ...], what was recorded.
      updates: how many updates were made before this one, a scalar.
    """

  def init_slow(self, model: Model) -> Params:
    """State beside the optimised parameters, such as an average of the encoder's; none by default."""
    return {}

  def update_slow(self, slow: Params, model: Model, updates: jax.Array) -> Params:
    """Called after each optimiser step, with the new parameters in place. updates: how many were made before this one."""
    return slow

  @property
  def decoded(self) -> tuple[str, ...]:
    """Names of the observations that `decode` gives; none by default."""
    return ()

  @property
  def events(self) -> tuple[str, ...]:
    """Names of the hidden observations that `event_probabilities` gives; none by default."""
    return ()

  def event_probabilities(self, features: jax.Array) -> dict[str, jax.Array]:
    """Features [..., F] -> the probability [...] that each event happens on arriving there."""
    return {}

  def decode(self, features: jax.Array) -> dict[str, jax.Array]:
    """Features [..., F] -> the observations that they stand for, {name: [..., *shape]} float32: images aim at [0, 1]."""
    return {}


class Objectives(Mapping[str, Objective]):
  """Objectives by name, in alphabetical order, immutable and hashable."""

  def __init__(self, objectives: Mapping[str, Objective]):
    """Raises ValueError for a name that is no Python identifier, as names become options."""
    wrong = next((name for name in objectives if not name.isidentifier()), None)
    if wrong is not None:
      raise ValueError(f"objectives: {wrong!r} is no name: use letters, digits and underscores")
    self._objectives = dict(sorted(objectives.items()))

  def __getitem__(self, name: str) -> Objective:
    return self._objectives[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._objectives)

  def __len__(self) -> int:
    return len(self._objectives)

  def __hash__(self) -> int:
    return hash(tuple(self._objectives.items()))

  def __repr__(self) -> str:
    return repr(self._objectives)
