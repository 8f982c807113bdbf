"""The recurrent state-space model: a deterministic recurrence with a stochastic state on top."""

from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, Latent
from dreamerax.dynamics.filtering import FilteringModule
from dreamerax.dynamics.stochastic import Categorical, Stochastic
from dreamerax.nets.blocks import MLP, Linear, NormSilu, SplitLinear
from dreamerax.nets.recurrent import BlockGRU


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


class RSSMModule(FilteringModule):
  """Built from `RSSM`."""

  prior_parts = ("prior_mlp", "prior_out")

  def __init__(self, config: RSSM, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.stochastic, self.dtype = config.stochastic, dtype
    self.deter_size, self.stoch_size = config.deter, config.stochastic.size
    stats = config.stochastic.stats_size
    self.cell = BlockGRU(config.deter, config.hidden, self.stoch_size, action, config.blocks, dtype=dtype, rngs=rngs)
    self.prior_mlp = MLP(config.deter, config.hidden, config.prior_layers, dtype=dtype, rngs=rngs)
    self.prior_out = Linear(self.prior_mlp.output_size, stats, dtype=dtype, rngs=rngs)
    self.posterior_in = SplitLinear(config.deter, embed, config.hidden, dtype=dtype, rngs=rngs)
    self.posterior_norm = NormSilu(config.hidden, dtype=dtype)
    self.posterior_out = Linear(config.hidden, stats, dtype=dtype, rngs=rngs)

  def project_action(self, action: jax.Array) -> jax.Array:
    return self.cell.project_action(action)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    return self.posterior_in.project_input(embed)

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    return {"deter": self.cell(latent["deter"], latent["stoch"], projected_action)}

  def prior(self, latent: Latent) -> jax.Array:
    return self.prior_out(self.prior_mlp(latent["deter"]))

  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    hidden = self.posterior_in.with_input(predicted["deter"], projected_embed)
    return self.posterior_out(self.posterior_norm(hidden))
