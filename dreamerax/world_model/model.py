"""The world model: encoder, dynamics, decoder and heads, and the losses that train them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.dynamics.base import Dynamics, Latent
from dreamerax.dynamics.rssm import RSSM
from dreamerax.nets.decoders import ConvDecoder, Decoder
from dreamerax.nets.encoders import ConvEncoder, Encoder
from dreamerax.nets.heads import BinaryHead, ScalarHead, TwoHotHead
from dreamerax.ops import checks
from dreamerax.ops.transforms import dither, symexp
from dreamerax.types import ArrayDict, Batch, EnvSpec, Transition
from dreamerax.world_model.objectives.kl import KL, FreeBits
from dreamerax.world_model.objectives.overshooting import Overshooting
from dreamerax.world_model.objectives.reconstruction import reconstruction_losses


@dataclass(frozen=True)
class WorldModel:
  """The parts of a world model and the discount that its continue head learns."""

  encoder: Encoder = field(default_factory=ConvEncoder)
  dynamics: Dynamics = field(default_factory=RSSM)
  decoder: Decoder = field(default_factory=ConvDecoder)
  reward: ScalarHead = field(default_factory=lambda: TwoHotHead(layers=1))
  continues: BinaryHead | None = field(default_factory=BinaryHead)  # None: every episode is taken to go on
  kl: KL = field(default_factory=FreeBits)
  overshooting: Overshooting | None = None
  discount: float = 1 - 1 / 333  # folded into the continue target: (1 - terminal) times this
  image_bits: int = 8  # that images are cut to, with noise in place of the others (PlaNet: 5); 8 leaves them alone
  reconstruction_scale: float = 1.0  # factor of the squared errors in the total loss; half of them is a unit Gaussian's
  reward_scale: float = 1.0  # factor of the reward loss in the total loss

  def __post_init__(self):
    checks.between(0, 1, self, "discount")
    checks.at_least(0, self, "reconstruction_scale", "reward_scale")
    checks.between(1, 8, self, "image_bits")

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "WorldModelModule":
    """Raises ValueError where the parts do not fit the observations."""
    return WorldModelModule(self, spec, dtype=dtype, rngs=rngs)


class Posterior(NamedTuple):
  """What observing a batch gave."""

  latents: Latent  # [B, T, F]
  stats: jax.Array  # [B, T, P]
  observation: ArrayDict  # {name: [B, T, ...]}, as the encoder saw it: what the decoder should find again


class Prediction(NamedTuple):
  """What a world model expects to see."""

  observation: dict[
    str, jax.Array
  ]  # {name: [B, T, *shape]}; images in [0, 1], or around it where the decoder is unbounded
  reward: jax.Array  # [B, T]


class WorldModelModule(nnx.Module):
  """Built from `WorldModel`."""

  def __init__(self, config: WorldModel, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.spec = config, spec
    self.encoder = config.encoder.build(spec.observation, dtype=dtype, rngs=rngs)
    self.dynamics = config.dynamics.build(self.encoder.output_size, spec.action.size, dtype=dtype, rngs=rngs)
    deter, stoch = self.dynamics.deter_size, self.dynamics.stoch_size
    self.decoder = config.decoder.build(spec.observation, deter, stoch, dtype=dtype, rngs=rngs)
    self.reward = config.reward.build(self.dynamics.feature_size, dtype=dtype, rngs=rngs)
    head = config.continues
    self.continues = None if head is None else head.build(self.dynamics.feature_size, dtype=dtype, rngs=rngs)

  def observe(self, batch: Batch, key: jax.Array) -> Posterior:
    """Posterior latents of a batch, continuing from its stored context, or from zero where it has none."""
    steps = batch.steps
    context = batch.context
    start = self.dynamics.unpack(context) if context else self.dynamics.initial(steps.reward.shape[0])
    image_key, observe_key = jax.random.split(key)
    observation = self._prepare(steps.observation, image_key)
    embed = self.encoder(observation)
    latents, stats = self.dynamics.observe(start, steps.action, embed, steps.is_first, observe_key)
    return Posterior(latents, stats, observation)

  def losses(
    self, steps: Transition, posterior: Posterior, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Losses {name: [B, T] or scalar}, not scaled, and metrics {name: scalar}."""
    prior = self.dynamics.prior(posterior.latents)
    losses = self.config.kl.losses(self.dynamics.kl, posterior.stats, prior)
    latents = posterior.latents
    losses |= reconstruction_losses(self.decoder, latents["deter"], latents["stoch"], posterior.observation)
    features = self.dynamics.features(posterior.latents)
    losses["reward"] = -self.reward(features).log_prob(steps.reward)
    if self.continues is not None:
      target = (1.0 - steps.is_terminal.astype(jnp.float32)) * self.config.discount
      losses["continue"] = -self.continues(features).log_prob(target)
    if self.config.overshooting is not None:
      losses["overshooting"] = self.config.overshooting.loss(
        self.dynamics, posterior.latents, posterior.stats, steps, key
      )
    metrics = {
      "kl": self.dynamics.kl(posterior.stats, prior).mean(),
      "entropy/prior": self.dynamics.entropy(prior).mean(),
      "entropy/posterior": self.dynamics.entropy(posterior.stats).mean(),
    }
    return losses, metrics

  @property
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total."""
    config = self.config
    images = {f"reconstruction/{key}": config.reconstruction_scale for key in self.spec.observation}
    overshooting = {} if config.overshooting is None else {"overshooting": config.overshooting.scale}
    return {**images, "reward": config.reward_scale, "continue": 1.0, **config.kl.scales, **overshooting}

  def continue_probability(self, features: jax.Array) -> jax.Array:
    """features [..., F] -> chance of going on [...], the discount included."""
    if self.continues is None:
      return jnp.full(features.shape[:-1], self.config.discount)
    return self.continues(features).mean()

  def predict(self, batch: Batch, context: int, key: jax.Array) -> Prediction:
    """What the model makes of `context` observed steps, and then of imagination along the recorded actions.

    An episode that begins after the context is not foreseen.
    """
    observe_key, imagine_key = jax.random.split(key)
    head = Batch(jax.tree.map(lambda x: x[:, :context], batch.steps), batch.context)
    seen = self.observe(head, observe_key).latents
    last = jax.tree.map(lambda x: x[:, -1], seen)
    dreamt = self.dynamics.imagine(last, batch.steps.action[:, context:], imagine_key)
    latents = jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), seen, dreamt)
    return Prediction(self.decode(latents), self.reward(self.dynamics.features(latents)).mean())

  def open_loop(self, batch: Batch, context: int, key: jax.Array) -> dict[str, jax.Array]:
    """The pictures of `predict`: {image: [B, T, H, W, C]}."""
    predicted = self.predict(batch, context, key).observation
    return {name: value for name, value in predicted.items() if self.spec.observation[name].is_image}

  def decode(self, latent: Latent) -> dict[str, jax.Array]:
    """Latent [..., F] -> the observation expected there, {name: [..., *shape]} float32: images aim at [0, 1]."""
    decoded = self.decoder(latent["deter"], latent["stoch"])
    return {key: value if self.spec.observation[key].is_image else symexp(value) for key, value in decoded.items()}

  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    """One posterior step while acting: [E, ...] everywhere."""
    image_key, observe_key = jax.random.split(key)
    embed = self.encoder(self._prepare(observation, image_key))
    return self.dynamics.observe_step(latent, action, embed, is_first, observe_key)[0]

  def _prepare(self, observation: ArrayDict, key: jax.Array) -> ArrayDict:
    """The observation as encoder and losses see it; images stay in [0, 255]."""
    if self.config.image_bits == 8:
      return observation
    images = [name for name in sorted(observation) if self.spec.observation[name].is_image]
    keys = jax.random.split(key, len(images))
    dithered = {
      name: dither(observation[name], self.config.image_bits, k) for name, k in zip(images, keys, strict=True)
    }
    return {**observation, **dithered}
