"""The world model: encoder, dynamics, heads, and the objectives that train them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, Latent
from dreamerax.dynamics.rssm import RSSM
from dreamerax.nets.encoders import ConvEncoder, Encoder
from dreamerax.nets.heads import BinaryHead, ScalarHead, TwoHotHead
from dreamerax.nets.modules import Params
from dreamerax.nets.observations import image_keys
from dreamerax.ops.augmentation import random_shift
from dreamerax.ops.transforms import dither
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import WorldModelBase, WorldModelBaseModule
from dreamerax.world_model.objectives.base import Objective, Objectives, Seen, Sizes
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.reconstruction import Reconstruction


@dataclass(frozen=True)
class WorldModel(WorldModelBase):
  """An encoder, a latent dynamics, heads, and objectives that train them; the continue head learns the discount, too."""

  encoder: Encoder = field(default_factory=ConvEncoder)
  dynamics: Dynamics = field(default_factory=RSSM)
  reward: ScalarHead = field(default_factory=lambda: TwoHotHead(layers=1))
  continues: BinaryHead | None = field(default_factory=BinaryHead)  # None: every episode is taken to go on
  objectives: Mapping[str, Objective] = field(
    default_factory=lambda: {"kl": FreeBits(), "reconstruction": Reconstruction()}
  )  # what trains the model beside reward and continuation
  discount: float = 1 - 1 / 333  # folded into the continue target: (1 - terminal) times this
  image_bits: int = 8  # that images are cut to, with noise in place of the others (PlaNet: 5); 8 leaves them alone
  image_shift: int = 0
  """Most pixels by which the images of a sequence move in training, all by the same. Where it is not 0, no latents are stored
  for sequences to begin with, as the images stood elsewhere in them."""
  reward_scale: float = 1.0  # factor of the reward loss in the total loss

  def __post_init__(self):
    checks.between(0, 1, self, "discount")
    checks.at_least(0, self, "reward_scale", "image_shift")
    checks.between(1, 8, self, "image_bits")
    object.__setattr__(self, "objectives", Objectives(self.objectives))

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "WorldModelModule":
    return WorldModelModule(self, spec, dtype=dtype, rngs=rngs)


class WorldModelModule(WorldModelBaseModule):
  """Built from `WorldModel`."""

  def __init__(self, config: WorldModel, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.spec = config, spec
    self.encoder = config.encoder.build(spec.visible, dtype=dtype, rngs=rngs)
    self.dynamics = config.dynamics.build(self.encoder.output_size, spec.action.size, dtype=dtype, rngs=rngs)
    sizes = Sizes(self.encoder.output_size, self.dynamics.feature_size, self.dynamics.deter_size)
    self.objectives = nnx.Dict(
      {name: each.build(sizes, spec, dtype=dtype, rngs=rngs) for name, each in config.objectives.items()}
    )
    self.reward = config.reward.build(self.dynamics.feature_size, dtype=dtype, rngs=rngs)
    head = config.continues
    self.continues = None if head is None else head.build(self.dynamics.feature_size, dtype=dtype, rngs=rngs)
    _check_unique("loss", [("reward",), ("continue",), *(each.scales for each in self.objectives.values())])
    _check_unique("decoded observation", [each.decoded for each in self.objectives.values()])
    _check_unique("event", [each.events for each in self.objectives.values()])

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    return {} if self.config.image_shift else self.dynamics.latent_spec

  @property
  def feature_size(self) -> int:
    return self.dynamics.feature_size

  @property
  def decoded(self) -> tuple[str, ...]:
    names = {name for each in self.objectives.values() for name in each.decoded}
    return tuple(name for name in self.spec.visible if name in names)

  def initial(self, batch: int) -> Latent:
    return self.dynamics.initial(batch)

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    return {} if self.config.image_shift else self.dynamics.pack(latent)

  def features(self, latent: Latent) -> jax.Array:
    return self.dynamics.features(latent)

  def step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self.dynamics.imagine_step(latent, action, key)

  def expect(self, latent: Latent, action: jax.Array) -> Latent:
    return self.dynamics.expect_step(latent, action)

  @property
  def members(self) -> int:
    return self.dynamics.members

  def step_as(self, member: jax.Array, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self.dynamics.imagine_step_as(member, latent, action, key)

  def expect_as(self, member: jax.Array, latent: Latent, action: jax.Array) -> Latent:
    return self.dynamics.expect_step_as(member, latent, action)

  def imagine(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self.dynamics.imagine(latent, action, key)

  def augment(self, batch: Batch, key: jax.Array) -> Batch:
    names, most = image_keys(self.spec.visible), self.config.image_shift
    if not names or not most:
      return batch
    observation = batch.steps.observation
    images = {name: observation[name] for name in names}
    moved = {**observation, **random_shift(images, most, jax.random.fold_in(key, 0))}
    return Batch(batch.steps._replace(observation=moved), batch.context)

  def observe(self, batch: Batch, key: jax.Array) -> Seen:
    steps = batch.steps
    context = batch.context
    start = self.dynamics.unpack(context) if context else self.dynamics.initial(steps.reward.shape[0])
    image_key, observe_key = jax.random.split(key)
    observation = self._prepare(steps.observation, image_key)
    embed = self.encoder(observation)
    latents, stats = self.dynamics.observe(start, steps.action, embed, steps.is_first, observe_key)
    return Seen(observation, embed, latents, stats, self.dynamics.prior(latents))

  def init_slow(self) -> Params:
    states = {name: objective.init_slow(self) for name, objective in self.objectives.items()}
    return {name: state for name, state in states.items() if state}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    return {name: self.objectives[name].update_slow(state, self, updates) for name, state in slow.items()}

  def losses(
    self, slow: Params, steps: Transition, seen: Seen, updates: jax.Array, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    losses: dict[str, jax.Array] = {}
    keys = jax.random.split(key, len(self.objectives))
    for each_key, (name, objective) in zip(keys, self.objectives.items(), strict=True):
      losses |= objective.losses(slow.get(name, {}), self, seen, steps, updates, each_key)
    features = self.features(seen.latents)
    losses["reward"] = -self.reward(features).log_prob(steps.reward)
    if self.continues is not None:
      target = (1.0 - steps.is_terminal.astype(jnp.float32)) * self.config.discount
      losses["continue"] = -self.continues(features).log_prob(target)
    metrics = {
      "kl": self.dynamics.kl(seen.posterior, seen.prior).mean(),
      "entropy/prior": self.dynamics.entropy(seen.prior).mean(),
      "entropy/posterior": self.dynamics.entropy(seen.posterior).mean(),
    }
    return losses, metrics

  @property
  def scales(self) -> Mapping[str, float]:
    scales = {"reward": self.config.reward_scale, "continue": 1.0}
    for objective in self.objectives.values():
      scales |= objective.scales
    return scales

  def expected_reward(self, features: jax.Array) -> jax.Array:
    return self.reward(features).mean()

  def continue_probability(self, features: jax.Array) -> jax.Array:
    if self.continues is None:
      return jnp.full(features.shape[:-1], self.config.discount)
    return self.continues(features).mean()

  def episode_continues(self, features: jax.Array) -> jax.Array | None:
    return None if self.continues is None else self.continue_probability(features) / self.config.discount

  @property
  def events(self) -> tuple[str, ...]:
    return tuple(name for each in self.objectives.values() for name in each.events)

  def event_probabilities(self, features: jax.Array) -> dict[str, jax.Array]:
    found = [each.event_probabilities(features) for each in self.objectives.values()]
    return {name: probability for each in found for name, probability in each.items()}

  def decode(self, latent: Latent) -> dict[str, jax.Array]:
    features = self.features(latent)
    decoded = [each.decode(features) for each in self.objectives.values()]
    return {name: value for each in decoded for name, value in each.items()}

  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    image_key, observe_key = jax.random.split(key)
    embed = self.encode(observation, image_key)
    return self.dynamics.observe_step(latent, action, embed, is_first, observe_key)[0]

  def encode(self, observation: ArrayDict, key: jax.Array) -> jax.Array:
    return self.encoder(self._prepare(observation, key))

  def glance(self, embed: jax.Array, key: jax.Array) -> jax.Array:
    rows = embed.reshape(-1, embed.shape[-1])  # [N, E]
    count = rows.shape[0]  # a symbol where a policy is exported for any number
    action, first = jnp.zeros((count, self.spec.action.size)), jnp.ones(count, bool)
    latent, _ = self.dynamics.observe_step(self.initial(count), action, rows, first, key)
    features = self.features(latent)
    return features.reshape(*embed.shape[:-1], features.shape[-1])

  def _prepare(self, observation: ArrayDict, key: jax.Array) -> ArrayDict:
    """The observation as encoder and losses see it; images stay in [0, 255]."""
    if self.config.image_bits == 8:
      return observation
    images = image_keys(self.spec.visible)
    keys = jax.random.split(key, len(images))
    dithered = {
      name: dither(observation[name], self.config.image_bits, k) for name, k in zip(images, keys, strict=True)
    }
    return {**observation, **dithered}


def _check_unique(what: str, groups: Iterable[Iterable[str]]) -> None:
  names = [name for group in groups for name in group]
  twice = next((name for name in names if names.count(name) > 1), None)
  if twice is not None:
    raise ValueError(f"objectives: two of them have a {what} called {twice!r}: leave one out")
