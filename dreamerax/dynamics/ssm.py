"""The state-space model without a deterministic path: PlaNet's stochastic ablation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, Latent
from dreamerax.dynamics.filtering import FilteringModule
from dreamerax.dynamics.stochastic import Gaussian, Stochastic
from dreamerax.nets.blocks import Activation, Linear, SplitLinear, activate, glorot_uniform


@dataclass(frozen=True)
class SSM(Dynamics):
  """All that is remembered is sampled (Hafner et al. 2019, Fig. 2b).

  The prior reads the last sample and the action; the posterior reads the prior's parameters (of a Gaussian: mean and
  standard deviation) and the embedding. As in the published code but for its layer each for mean and deviation.
  """

  hidden: int = 200  # width of the layers
  activation: Activation = "relu"  # of these layers
  stochastic: Stochastic = field(default_factory=Gaussian)

  def __post_init__(self):
    checks.at_least(1, self, "hidden")

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "SSMModule":
    return SSMModule(self, embed, action, dtype=dtype, rngs=rngs)


class SSMModule(FilteringModule):
  """Built from `SSM`. Its latents hold "prior" too, the statistics of their prior: the last sample gave them, and is gone."""

  def __init__(self, config: SSM, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.stochastic, self.activation, self.dtype = config.stochastic, config.activation, dtype
    self.deter_size, self.stoch_size = 0, config.stochastic.size
    hidden, stats = config.hidden, config.stochastic.stats_size
    how = {"dtype": dtype, "rngs": rngs, "init": glorot_uniform}
    self.prior_in = SplitLinear(self.stoch_size, action, hidden, **how)
    self.prior_out = Linear(hidden, stats, **how)
    self.posterior_in = SplitLinear(stats, embed, hidden, **how)
    self.posterior_out = Linear(hidden, stats, **how)

  @property
  def predicted_sizes(self) -> Mapping[str, int]:
    return {**super().predicted_sizes, "prior": self.stochastic.stats_size}

  def project_action(self, action: jax.Array) -> jax.Array:
    return self.prior_in.project_input(action)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    return self.posterior_in.project_input(embed)

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    hidden = activate(self.activation, self.prior_in.with_input(latent["stoch"], projected_action))
    return {"deter": latent["deter"], "prior": self.prior_out(hidden)}

  def prior(self, latent: Latent) -> jax.Array:
    return latent["prior"]

  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    prior = self.stochastic.parameters(predicted["prior"])
    return self.posterior_out(activate(self.activation, self.posterior_in.with_input(prior, projected_embed)))
