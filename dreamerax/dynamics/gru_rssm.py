"""The recurrent state-space models before DreamerV3: a GRU with a stochastic state on top, plain dense layers between them."""

from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, Latent
from dreamerax.dynamics.filtering import FilteringModule
from dreamerax.dynamics.stochastic import Gaussian, Stochastic
from dreamerax.nets.blocks import Activation, Linear, SplitLinear, activate, glorot_uniform
from dreamerax.nets.gru import GRU, ResetBeforeGRU


@dataclass(frozen=True)
class GruRSSM(Dynamics):
  """The RSSM of PlaNet, Dreamer v1 and Dreamer v2 (Hafner et al. 2019, Eq. 4), which differ in the parts chosen here.

  PlaNet: as by default. Dreamer v1: activation "elu", cell ResetAfterGRU. Dreamer v2: "elu", LayerNormGRU, and
  Categorical(unimix=0). The deterministic ablation of PlaNet: stochastic Deterministic.

  PlaNet's code has a layer each for mean and deviation; here one gives both, as in v1 and v2, so that Glorot's range is 6 %
  smaller at first. Checked beside the three published codes: gradients within 2e-6 of a tensor's maximum.
  """

  deter: int = 200  # length of the deterministic state
  hidden: int = 200  # width of the layers between the states
  activation: Activation = "relu"  # of these layers
  cell: GRU = field(default_factory=ResetBeforeGRU)
  stochastic: Stochastic = field(default_factory=Gaussian)

  def __post_init__(self):
    checks.at_least(1, self, "deter", "hidden")

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "GruRSSMModule":
    return GruRSSMModule(self, embed, action, dtype=dtype, rngs=rngs)


class GruRSSMModule(FilteringModule):
  """Built from `GruRSSM`."""

  prior_parts = ("prior_in", "prior_out")

  def __init__(self, config: GruRSSM, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.stochastic, self.activation, self.dtype = config.stochastic, config.activation, dtype
    self.deter_size, self.stoch_size = config.deter, config.stochastic.size
    hidden, stats = config.hidden, config.stochastic.stats_size
    how = {"dtype": dtype, "rngs": rngs, "init": glorot_uniform}
    self.cell_in = SplitLinear(self.stoch_size, action, hidden, **how)
    self.cell = config.cell.build(hidden, config.deter, dtype=dtype, rngs=rngs)
    self.prior_in = Linear(config.deter, hidden, **how)
    self.prior_out = Linear(hidden, stats, **how)
    self.posterior_in = SplitLinear(config.deter, embed, hidden, **how)
    self.posterior_out = Linear(hidden, stats, **how)

  def project_action(self, action: jax.Array) -> jax.Array:
    return self.cell_in.project_input(action)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    return self.posterior_in.project_input(embed)

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    hidden = activate(self.activation, self.cell_in.with_input(latent["stoch"], projected_action))
    return {"deter": self.cell(latent["deter"], self.cell.project_input(hidden))}

  def prior(self, latent: Latent) -> jax.Array:
    return self.prior_out(activate(self.activation, self.prior_in(latent["deter"])))

  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    return self.posterior_out(
      activate(self.activation, self.posterior_in.with_input(predicted["deter"], projected_embed))
    )
