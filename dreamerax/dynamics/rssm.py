"""The recurrent state-space model: a deterministic recurrence with a stochastic state on top."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.dynamics.base import Dynamics, DynamicsModule, Latent, reset_where
from dreamerax.dynamics.stochastic import Categorical, Stochastic
from dreamerax.nets.blocks import MLP, Linear, NormSilu
from dreamerax.nets.recurrent import BlockGRU
from dreamerax.ops import checks
from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class RSSM(Dynamics):
  """DreamerV3's RSSM (Hafner et al. 2019, Eq. 4; Hafner et al. 2023): block-GRU, RMSNorm, SiLU, any stochastic state."""

  deter: int = 8192  # length of the deterministic state
  hidden: int = 1024  # width of the layers between the states
  blocks: int = 8  # of the recurrent layer
  prior_layers: int = 2  # hidden
  stochastic: Stochastic = field(default_factory=Categorical)

  def __post_init__(self):
    checks.at_least(1, self, "deter", "hidden", "blocks", "prior_layers")
    if self.deter % self.blocks:
      raise ValueError(f"deter={self.deter} must be a multiple of blocks={self.blocks}")

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "RSSMModule":
    return RSSMModule(self, embed, action, dtype=dtype, rngs=rngs)


class RSSMModule(DynamicsModule):
  """Built from `RSSM`."""

  def __init__(self, config: RSSM, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.stochastic, self.dtype = config.stochastic, dtype
    self.deter_size, self.stoch_size = config.deter, config.stochastic.size
    stats = config.stochastic.stats_size
    self.cell = BlockGRU(config.deter, config.hidden, self.stoch_size, action, config.blocks, dtype=dtype, rngs=rngs)
    self.prior_mlp = MLP(config.deter, config.hidden, config.prior_layers, dtype=dtype, rngs=rngs)
    self.prior_out = Linear(self.prior_mlp.output_size, stats, dtype=dtype, rngs=rngs)
    self.posterior_in = Linear(config.deter + embed, config.hidden, dtype=dtype, rngs=rngs)
    self.posterior_norm = NormSilu(config.hidden, dtype=dtype)
    self.posterior_out = Linear(config.hidden, stats, dtype=dtype, rngs=rngs)

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    deter = ArraySpec((self.deter_size,), jnp.dtype(self.dtype).name)
    return {"deter": deter, "stoch": self.stochastic.stored_spec}

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    return {"deter": latent["deter"].astype(self.dtype), "stoch": self.stochastic.pack(latent["stoch"])}

  def unpack(self, stored: Mapping[str, jax.Array]) -> Latent:
    return {
      "deter": stored["deter"].astype(self.dtype),
      "stoch": self.stochastic.unpack(stored["stoch"]).astype(self.dtype),
    }

  def initial(self, batch: int) -> Latent:
    return jax.tree.map(lambda x: x.astype(self.dtype), super().initial(batch))

  def observe_step(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    action_drive = self.cell.action_drive(reset_where(is_first, action))
    return self._observe_step(latent, action_drive, self._embed_drive(embed), is_first, key)

  def observe(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    # What does not depend on the state is computed for the whole sequence at once, outside the scan.
    action = jnp.where(is_first[..., None], 0.0, action)
    inputs = (self.cell.action_drive(action), self._embed_drive(embed), is_first)
    inputs = jax.tree.map(lambda x: x.swapaxes(0, 1), inputs)  # [T, B, ...]
    keys = jax.random.split(key, action.shape[1])

    def step(latent: Latent, inputs: tuple[jax.Array, ...]) -> tuple[Latent, tuple[Latent, jax.Array]]:
      latent, stats = self._observe_step(latent, *inputs)
      return latent, (latent, stats)

    _, outputs = jax.lax.scan(step, latent, (*inputs, keys))
    return jax.tree.map(lambda x: x.swapaxes(0, 1), outputs)  # [B, T, ...]

  def imagine_step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    deter = self.cell(latent["deter"], latent["stoch"], self.cell.action_drive(action))
    return self._with_sample(deter, self.prior({"deter": deter}), key)

  def prior(self, latent: Latent) -> jax.Array:
    return self.prior_out(self.prior_mlp(latent["deter"]))

  def kl(self, posterior: jax.Array, prior: jax.Array) -> jax.Array:
    return self.stochastic.kl(posterior, prior)

  def entropy(self, stats: jax.Array) -> jax.Array:
    return self.stochastic.entropy(stats)

  def _observe_step(
    self, latent: Latent, action_drive: jax.Array, embed_drive: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    latent = reset_where(is_first, latent)
    deter = self.cell(latent["deter"], latent["stoch"], action_drive)
    hidden = deter @ self._posterior_kernel()[: self.deter_size] + embed_drive
    stats = self.posterior_out(self.posterior_norm(hidden))
    return self._with_sample(deter, stats, key), stats

  def _with_sample(self, deter: jax.Array, stats: jax.Array, key: jax.Array) -> Latent:
    return {"deter": deter, "stoch": self.stochastic.sample(stats, key).astype(self.dtype)}

  def _posterior_kernel(self) -> jax.Array:
    return self.posterior_in.kernel[...].astype(self.dtype)

  def _embed_drive(self, embed: jax.Array) -> jax.Array:
    """[..., E] -> [..., hidden]: what the embedding contributes to the posterior's hidden layer, its bias included."""
    bias = self.posterior_in.bias[...].astype(self.dtype)
    return embed.astype(self.dtype) @ self._posterior_kernel()[self.deter_size :] + bias
