"""Events that recorded actions lead to, foreseen in imagination: they take the place of images that a model predicts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Latent
from dreamerax.nets.heads import BinaryHead
from dreamerax.nets.modules import Params
from dreamerax.ops.backend import unroll
from dreamerax.types import EVENT, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes


@dataclass(frozen=True)
class EventForecast(Objective):
  """The probability that an event happens on arriving in a state, 1 to `ahead` agent steps after the last observation.

  From each state of the batch, imagination follows the recorded actions, and a head compares the features of each state on
  the way with what was recorded: binary cross-entropy, whose gradient reaches dynamics and encoder. So an image and a
  sequence of actions give the events that follow (Kahn et al. 2018, 2020). Steps of another episode are left out.

  Unlike the published labels, which stay 1 after a collision as that ends an episode, each step has its own.
  """

  names: tuple[str, ...] = ("event/contact",)  # hidden observations of one number, above 0.5 where the event happens
  ahead: int = 8  # agent steps; less than a sequence has
  positive_weight: float = 1.0  # of steps at which the event happens; above 1, probabilities are too high
  head: BinaryHead = field(default_factory=lambda: BinaryHead(layers=1, units=64))  # of each event
  scale: float = 1.0  # factor in the total loss

  def __post_init__(self):
    checks.at_least(1, self, "ahead")
    checks.more_than_zero(self, "positive_weight")
    checks.at_least(0, self, "scale")
    if not self.names:
      raise ValueError("names is empty: name at least one event, such as event/contact")

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "EventForecastModule":
    """Raises ValueError where the environment has no such event, or one that is more than a number."""
    for name in self.names:
      check_event(name, spec)
    return EventForecastModule(self, sizes, dtype=dtype, rngs=rngs)


class EventForecastModule(ObjectiveModule):
  """Built from `EventForecast`."""

  def __init__(self, config: EventForecast, sizes: Sizes, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.heads = nnx.Dict(
      {name.removeprefix(EVENT): config.head.build(sizes.features, dtype=dtype, rngs=rngs) for name in config.names}
    )

  @property
  def scales(self) -> Mapping[str, float]:
    return {f"events/{short}": self.config.scale for short in self.heads}

  @property
  def events(self) -> tuple[str, ...]:
    return self.config.names

  def event_probabilities(self, features: jax.Array) -> dict[str, jax.Array]:
    return {EVENT + short: head(features).mean() for short, head in self.heads.items()}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Raises ValueError: sequences are too short."""
    length = steps.is_first.shape[1]
    if length <= self.config.ahead:
      raise ValueError(
        f"replay.batch_length={length}: events are foreseen ahead={self.config.ahead} steps from an observed one; raise it to "
        f"{self.config.ahead + 1}, or lower agent.world_model.objectives.events.ahead"
      )
    apart = jnp.arange(1, self.config.ahead + 1)[:, None]  # [H, 1], agent steps
    places = jnp.arange(length) + apart  # [H, T], of the steps that are foreseen from each

    def foreseen(x: jax.Array) -> jax.Array:
      """[B, T, ...] -> [H, B, T, ...]; the last step stands for those beyond it, which `within` leaves out."""
      return jnp.moveaxis(x[:, jnp.minimum(places, length - 1)], 1, 0)

    def step(latent: Latent, inputs: tuple[jax.Array, jax.Array]) -> tuple[Latent, jax.Array]:
      latent = model.dynamics.imagine_step(latent, *inputs)
      return latent, model.features(latent)

    inputs = foreseen(jnp.asarray(steps.action)), jax.random.split(key, len(apart))
    _, features = jax.lax.scan(step, seen.latents, inputs, unroll=unroll())  # [H, B, T, F]
    episode = jnp.cumsum(steps.is_first, 1)
    within = (foreseen(episode) == episode) & (places < length)[:, None]  # [H, B, T]
    losses = {}
    for short, head in self.heads.items():
      happens = foreseen(jnp.asarray(steps.observation[EVENT + short])[..., 0] > 0.5)
      weight = jnp.where(within, jnp.where(happens, self.config.positive_weight, 1.0), 0.0)
      error = -head(features).log_prob(happens.astype(jnp.float32))
      losses[f"events/{short}"] = (weight * error).sum() / jnp.maximum(within.sum(), 1)
    return losses


def check_event(name: str, spec: EnvSpec) -> None:
  """
  Raises:
    ValueError: the environment shows no such event, or one that is more than a number.
  """
  events = tuple(each for each in spec.observation if each.startswith(EVENT))
  if name not in events:
    shown = ", ".join(events) or "none"
    raise ValueError(
      f"event {name!r} is not shown: the environment's events are {shown}; choose one by names "
      "(--agent.world-model.objectives.events.names), or another --task"
    )
  shape = spec.observation[name].shape
  if math.prod(shape) != 1 or len(shape) != 1:
    raise ValueError(f"event {name!r} has the shape {list(shape)}: let the environment show a single number, [1]")
