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
from dreamerax.types import ArrayDict, Batch, EnvSpec, Transition
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.reconstruction import reconstruction_losses


@dataclass(frozen=True)
class WorldModel:
  """The parts of a world model and the discount that its continue head learns."""

  encoder: Encoder = field(default_factory=ConvEncoder)
  dynamics: Dynamics = field(default_factory=RSSM)
  decoder: Decoder = field(default_factory=ConvDecoder)
  reward: ScalarHead = field(default_factory=lambda: TwoHotHead(layers=1))
  continues: BinaryHead = field(default_factory=BinaryHead)
  kl: FreeBits = field(default_factory=FreeBits)
  discount: float = 1 - 1 / 333  # folded into the continue target: (1 - terminal) times this

  def __post_init__(self):
    checks.between(0, 1, self, "discount")

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "WorldModelModule":
    """Raises ValueError where the parts do not fit the observations."""
    return WorldModelModule(self, spec, dtype=dtype, rngs=rngs)


class Posterior(NamedTuple):
  """What observing a batch gave."""

  latents: Latent  # [B, T, F]
  stats: jax.Array  # [B, T, P]


class WorldModelModule(nnx.Module):
  """Built from `WorldModel`."""

  def __init__(self, config: WorldModel, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.spec = config, spec
    self.encoder = config.encoder.build(spec.observation, dtype=dtype, rngs=rngs)
    self.dynamics = config.dynamics.build(self.encoder.output_size, spec.action.size, dtype=dtype, rngs=rngs)
    deter, stoch = self.dynamics.deter_size, self.dynamics.stoch_size
    self.decoder = config.decoder.build(spec.observation, deter, stoch, dtype=dtype, rngs=rngs)
    self.reward = config.reward.build(self.dynamics.feature_size, dtype=dtype, rngs=rngs)
    self.continues = config.continues.build(self.dynamics.feature_size, dtype=dtype, rngs=rngs)

  def observe(self, batch: Batch, key: jax.Array) -> Posterior:
    """Posterior latents of a batch, continuing from its stored context, or from zero where it has none."""
    steps = batch.steps
    context = batch.context
    start = self.dynamics.unpack(context) if context else self.dynamics.initial(steps.reward.shape[0])
    embed = self.encoder(steps.observation)
    return Posterior(*self.dynamics.observe(start, steps.action, embed, steps.is_first, key))

  def losses(self, steps: Transition, posterior: Posterior) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Losses {name: [B, T]}, not scaled, and metrics {name: scalar}."""
    prior = self.dynamics.prior(posterior.latents)
    losses = self.config.kl.losses(self.dynamics.kl, posterior.stats, prior)
    decoded = self.decoder(posterior.latents["deter"], posterior.latents["stoch"])
    losses |= reconstruction_losses(decoded, steps.observation, self.spec.observation)
    features = self.dynamics.features(posterior.latents)
    losses["reward"] = -self.reward(features).log_prob(steps.reward)
    target = (1.0 - steps.is_terminal.astype(jnp.float32)) * self.config.discount
    losses["continue"] = -self.continues(features).log_prob(target)
    metrics = {
      "kl": self.dynamics.kl(posterior.stats, prior).mean(),
      "entropy/prior": self.dynamics.entropy(prior).mean(),
      "entropy/posterior": self.dynamics.entropy(posterior.stats).mean(),
    }
    return losses, metrics

  @property
  def scales(self) -> Mapping[str, float]:
    """Factor of each loss in the total: 1 where the KL objective does not say otherwise."""
    names = [*(f"reconstruction/{key}" for key in self.spec.observation), "reward", "continue"]
    return {**dict.fromkeys(names, 1.0), **self.config.kl.scales}

  def open_loop(self, batch: Batch, context: int, key: jax.Array) -> dict[str, jax.Array]:
    """Images decoded from `context` observed steps and then from imagination along the recorded actions: [B, T, H, W, C].

    Values in [0, 1]. An episode that begins after the context is not foreseen by the prediction.
    """
    observe_key, imagine_key = jax.random.split(key)
    head = Batch(jax.tree.map(lambda x: x[:, :context], batch.steps), batch.context)
    seen = self.observe(head, observe_key).latents
    last = jax.tree.map(lambda x: x[:, -1], seen)
    dreamt = self.dynamics.imagine(last, batch.steps.action[:, context:], imagine_key)
    latents = jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), seen, dreamt)
    decoded = self.decoder(latents["deter"], latents["stoch"])
    return {key: value for key, value in decoded.items() if self.spec.observation[key].is_image}

  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    """One posterior step while acting: [E, ...] everywhere."""
    embed = self.encoder(observation)
    return self.dynamics.observe_step(latent, action, embed, is_first, key)[0]
