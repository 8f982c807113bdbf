"""Defines what every reward can do; the behaviour that learns from it knows no more of it than this."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from dreamerax.behavior.base import BehaviorLosses, Replayed, TrainedModule
from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class Reward(abc.ABC):
  """Configuration of a reward."""

  @abc.abstractmethod
  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "RewardModule":
    """features: length of a latent's features.

    Raises:
      ValueError: the reward does not fit the environment.
    """


class RewardModule(TrainedModule):
  """A reward that a behaviour maximises, with the parameters and losses that only it
  needs: none by default.

  A subclass is a `StateReward`, a `TransitionReward` or a `GoalReward`.
  """

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Computes the losses of the reward's own parameters; the arguments are those of a
    behaviour's losses.

    The features in `replayed` carry gradients into the world model: stop them, unless the reward is to shape it.
    """
    return BehaviorLosses({}, slow, {})


class StateReward(RewardModule):
  """A reward of the state that is reached."""

  @abc.abstractmethod
  def __call__(self, world: World, features: jax.Array) -> jax.Array:
    """Features [..., F] -> the reward on arriving there [...].

    Args:
      world: gives no gradient to its own parameters.
    """


class TransitionReward(RewardModule):
  """A reward of a state and of the action that leaves it."""

  @abc.abstractmethod
  def __call__(self, features: jax.Array, action: jax.Array) -> jax.Array:
    """Features [..., F] and the action taken there [..., A] -> the reward on arriving in the next state [...]."""
