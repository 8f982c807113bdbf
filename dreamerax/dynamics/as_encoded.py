"""A state-space model whose state is what the encoder gives, with nothing between."""

from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.embedding import EmbeddedModule
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import Residual, StateTransition


@dataclass(frozen=True)
class AsEncoded(Dynamics):
  """The posterior is the embedding of the observation itself, a point: the feature points of an image, say.

  The state keeps what its entries stand for. The prior follows from the last state and the action by a transition.
  """

  transition: StateTransition = field(default_factory=Residual)
  stochastic: Deterministic = field(default_factory=lambda: Deterministic(dims=32))  # as many as the encoder gives

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "AsEncodedModule":
    """Raises ValueError where the encoder gives another number of entries."""
    if embed != self.stochastic.dims:
      raise ValueError(
        f"agent.world_model.dynamics.stochastic.dims={self.stochastic.dims}, and the encoder gives {embed} numbers, two for "
        f"each feature point: set it to {embed}"
      )
    return AsEncodedModule(self, action, dtype=dtype, rngs=rngs)


class AsEncodedModule(EmbeddedModule):
  """Built from `AsEncoded`; has the parameters of the transition alone."""

  def __init__(self, config: AsEncoded, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.stochastic, self.dtype = config.stochastic, dtype
    self.deter_size, self.stoch_size = 0, config.stochastic.size
    stats = config.stochastic.stats_size
    self.transition = config.transition.build(self.stoch_size, action, stats, dtype=dtype, rngs=rngs)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    return embed
