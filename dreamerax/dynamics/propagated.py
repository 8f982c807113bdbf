"""The latent of Embed to Control: an embedding of one observation, whose uncertainty the transition moves as well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.dynamics.base import Latent
from dreamerax.dynamics.embedding import Embedded, EmbeddedModule
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.dynamics.transitions import LocallyLinear
from dreamerax.nets.blocks import Linear, PlainMLP


@dataclass(frozen=True)
class Propagated(Embedded):
  """The posterior is N(m, diag(s²)) of one observation; the prior is N(A m + B u + o, A diag(s²) A^T) of the one before.

  A, B and o are those at the sample (Watter et al. 2015, without their additive noise). Imagination goes
  on from the prior: its covariance is A_2 A_1 diag(s²) A_1^T A_2^T after two steps.
  """

  transition: LocallyLinear = field(default_factory=LocallyLinear)
  stochastic: FactoredGaussian = field(default_factory=lambda: FactoredGaussian(dims=2))

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "PropagatedModule":
    return PropagatedModule(self, embed, action, dtype=dtype, rngs=rngs)


class PropagatedModule(EmbeddedModule):
  """Built from `Propagated`. Its latents hold "belief" too: the statistics that the sample was drawn with."""

  drawn = ("stoch", "belief")
  stochastic: FactoredGaussian

  def __init__(self, config: Propagated, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.stochastic, self.dtype = config.stochastic, dtype
    self.deter_size, self.stoch_size = 0, config.stochastic.size
    size, how = self.stoch_size, {"dtype": dtype, "rngs": rngs}
    self.transition = config.transition.build(size, action, size, **how)
    self.mlp = PlainMLP(embed, config.units, config.layers, config.activation, **how)
    self.out = Linear(self.mlp.output_size, 2 * size, **how)  # m and log s

  @property
  def predicted_sizes(self) -> Mapping[str, int]:
    return {**super().predicted_sizes, "belief": self.stochastic.stats_size}

  def project_embed(self, embed: jax.Array) -> jax.Array:
    mean, log_std = jnp.split(self.out(self.mlp(embed)), 2, -1)
    return self.stochastic.stats(mean, jnp.exp(log_std)[..., None] * jnp.eye(self.stoch_size, dtype=self.dtype))

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    local = self.transition.around(latent["stoch"])
    mean, factor = self.stochastic.mean_and_factor(latent["belief"])
    moved = local.turn(mean) + local.push(projected_action) + local.offset
    return {"deter": latent["deter"], "prior": self.stochastic.stats(moved, local.turn_factor(factor))}

  def settle(self, predicted: Latent, stats: jax.Array, stoch: jax.Array) -> Latent:
    return {**predicted, "stoch": stoch, "belief": stats.astype(self.dtype)}
