"""A state-space model whose posterior is a point, while its prior has a deviation of its own."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.dynamics.embedding import Embedded, EmbeddedModule
from dreamerax.dynamics.stochastic import Gaussian

_CERTAIN = -50.0  # the raw deviation of a posterior, of which softplus leaves nothing


@dataclass(frozen=True)
class PointEmbedded(Embedded):
  """The posterior is the point g(o_t), and the prior N(f(s_t-1, a_t), diag(s²)) with s of the transition, too.

  So is the latent of PC3 (Shu et al. 2020). A posterior's deviation is `stochastic.min_std`, small enough to be none. The
  prior's is not less, and an objective has to keep it from falling that far: by noise on the states that are predicted.
  """

  stochastic: Gaussian = field(default_factory=lambda: Gaussian(dims=2, min_std=1e-3))

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "PointEmbeddedModule":
    return PointEmbeddedModule(self, embed, action, outputs=self.stochastic.size, dtype=dtype, rngs=rngs)


class PointEmbeddedModule(EmbeddedModule):
  """Built from `PointEmbedded`."""

  def project_embed(self, embed: jax.Array) -> jax.Array:
    point = self.out(self.mlp(embed))
    return jnp.concatenate([point, jnp.full_like(point, _CERTAIN)], -1)
