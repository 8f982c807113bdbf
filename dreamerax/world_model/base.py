"""Defines what every world model can do; agents and behaviours know no more of it than this."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.dynamics.base import Latent
from dreamerax.nets.modules import Params
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition


@dataclass(frozen=True)
class WorldModelBase(abc.ABC):
  """Configuration of a world model."""

  @abc.abstractmethod
  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "WorldModelBaseModule":
    """Raises ValueError where the world model does not fit the observations or the actions."""


class Observed(Protocol):
  """The result of observing a batch, as far as others than the world model look at it."""

  @property
  def latents(self) -> Latent:
    """[B, T, F], of the posterior."""
    ...

  @property
  def embed(self) -> jax.Array:
    """[B, T, E], as `encode` gives it."""
    ...


class SequencePrediction(NamedTuple):
  """The observations and rewards that a world model expects."""

  # {name: [B, T, *shape]} of what the model decodes; images in [0, 1], or around it where the decoder is unbounded
  observation: dict[str, jax.Array]
  reward: jax.Array  # [B, T]


class WorldModelBaseModule(nnx.Module):
  """A learned world: latents that observations correct, that move without them, and what they stand for."""

  spec: EnvSpec

  @property
  @abc.abstractmethod
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    """The arrays of one step's latent in replay."""

  @property
  @abc.abstractmethod
  def feature_size(self) -> int:
    """Length of `features`."""

  @property
  @abc.abstractmethod
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total."""

  @property
  @abc.abstractmethod
  def decoded(self) -> tuple[str, ...]:
    """Names of the observations that `decode` gives, in the order of the environment's."""

  @abc.abstractmethod
  def initial(self, batch: int) -> Latent:
    """The latent [batch, F] before anything was seen."""

  @abc.abstractmethod
  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    """Latent [..., F] -> arrays to store, as `latent_spec` says."""

  def augment(self, batch: Batch, key: jax.Array) -> Batch:
    """The batch as training sees it: changed at random, so that the model learns from more than was recorded."""
    return batch

  @abc.abstractmethod
  def observe(self, batch: Batch, key: jax.Array) -> Observed:
    """Posterior latents of a batch, continuing from its stored context, or from zero where it has none."""

  @abc.abstractmethod
  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    """One posterior step while acting: [E, ...] everywhere; `action` led to `observation`."""

  @abc.abstractmethod
  def step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    """One step without an observation: latent [..., F] and the action taken there [..., A] -> the next latent."""

  @abc.abstractmethod
  def expect(self, latent: Latent, action: jax.Array) -> Latent:
    """`step` with the mean in place of a sample; smooth in latent and action."""

  @property
  def members(self) -> int:
    """How many predictions of the next latent there are, an ensemble's; 1 by default."""
    return 1

  def step_as(self, member: jax.Array, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    """`step` by one member, 0 … members - 1, a scalar."""
    return self.step(latent, action, key)

  def expect_as(self, member: jax.Array, latent: Latent, action: jax.Array) -> Latent:
    """`expect` by one member, 0 … members - 1, a scalar."""
    return self.expect(latent, action)

  @abc.abstractmethod
  def imagine(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    """Latents [B, T, F] that follow from `latent` [B, F] under actions [B, T, A], without observations."""

  @abc.abstractmethod
  def encode(self, observation: ArrayDict, key: jax.Array) -> jax.Array:
    """Visible observations {name: [..., *shape]} -> embedding [..., E]."""

  @abc.abstractmethod
  def glance(self, embed: jax.Array, key: jax.Array) -> jax.Array:
    """Embedding [..., E] -> features [..., F] of the posterior after this one observation, with nothing before it.

    So is a goal compared with states. It has no velocity, and no memory of what came before.
    """

  @property
  def moves_pixels(self) -> bool:
    """Whether the model tells how pixels move, by `move`."""
    return False

  def move(self, latent: Latent, maps: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] of the image before, moved as its pixels were on the step into the latent [N, F].

    The latent is one of `initial`, or follows from one by `observe_step`, `step` and `expect`.
    """
    raise NotImplementedError(f"{type(self).__name__} moves no pixels")

  @abc.abstractmethod
  def features(self, latent: Latent) -> jax.Array:
    """Latent [..., F] -> [..., F], what heads, actor and critic see."""

  @abc.abstractmethod
  def expected_reward(self, features: jax.Array) -> jax.Array:
    """Features [..., F] -> the mean reward on arriving there [...]."""

  @abc.abstractmethod
  def continue_probability(self, features: jax.Array) -> jax.Array:
    """Features [..., F] -> probability of continuing [...], the discount included."""

  def episode_continues(self, features: jax.Array) -> jax.Array | None:
    """Features [..., F] -> probability that the episode goes on [...], without the discount; None where it always does."""
    return None

  @property
  def events(self) -> tuple[str, ...]:
    """Names of the events that `event_probabilities` gives; none by default."""
    return ()

  def event_probabilities(self, features: jax.Array) -> dict[str, jax.Array]:
    """Features [..., F] -> the probability [...] that each event happens on arriving there, by name."""
    return {}

  @abc.abstractmethod
  def decode(self, latent: Latent) -> dict[str, jax.Array]:
    """Latent [..., F] -> the observations expected there, {name: [..., *shape]} float32: images aim at [0, 1].

    Those of `decoded`: {} where the model decodes nothing.
    """

  def init_slow(self) -> Params:
    """State beside the optimised parameters, such as averages of some of them; none by default."""
    return {}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    """Called after each optimiser step, with the new parameters in place. updates: how many were made before this one."""
    return slow

  @abc.abstractmethod
  def losses(
    self, slow: Params, steps: Transition, seen: Any, updates: jax.Array, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Losses {name: [B, T] or scalar}, not scaled, and metrics {name: scalar}.

    Args:
      slow: as `init_slow` and `update_slow` make it.
      steps: [B, T, ...], as recorded. seen: what `observe` made of them.
      updates: how many updates were made before this one, a scalar.
    """

  def predict(self, batch: Batch, context: int, key: jax.Array) -> SequencePrediction:
    """Predicts from `context` observed steps, and then by imagination along the
    recorded actions.

    An episode that begins after the context is not foreseen.
    """
    observe_key, imagine_key = jax.random.split(key)
    head = Batch(jax.tree.map(lambda x: x[:, :context], batch.steps), batch.context)
    seen = self.observe(head, observe_key).latents
    last = jax.tree.map(lambda x: x[:, -1], seen)
    dreamt = self.imagine(last, batch.steps.action[:, context:], imagine_key)
    latents = jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), seen, dreamt)
    return SequencePrediction(self.decode(latents), self.expected_reward(self.features(latents)))

  def open_loop(self, batch: Batch, context: int, key: jax.Array) -> dict[str, jax.Array]:
    """The pictures of `predict`: {image: [B, T, H, W, C]}."""
    predicted = self.predict(batch, context, key).observation
    return {name: value for name, value in predicted.items() if self.spec.observation[name].is_image}
