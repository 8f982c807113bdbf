"""The probability of an event, as a price or a reward beside the one that the world has."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from dreamerax.behavior.imagination import World
from dreamerax.behavior.rewards.base import Reward, StateReward
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class EventReward(Reward):
  """The world's reward, and `weight` times the probability that an event happens on arriving (Kahn et al. 2018, 2020).

  Along a plan, the probabilities add up to the number of times that the event is expected. In a `Rewarded` inside another
  one, it is paid beside the outer one's reward: of goals, say, or of a second event.
  """

  event: str = "event/contact"
  weight: float = -1.0  # below 0, the event is avoided

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "EventRewardModule":
    return EventRewardModule(self)


class EventRewardModule(StateReward):
  """Built from `EventReward`; has no parameters."""

  def __init__(self, config: EventReward):
    self.config = config

  @property
  def events(self) -> tuple[str, ...]:
    return (self.config.event,)

  def __call__(self, world: World, features: jax.Array) -> jax.Array:
    return world.reward(features) + self.config.weight * world.event_probabilities(features)[self.config.event]
