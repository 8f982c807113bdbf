"""A state-space model whose posterior sees one observation: the state is an embedding of what is seen now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, Latent
from dreamerax.dynamics.filtering import FilteringModule
from dreamerax.dynamics.stochastic import Categorical, Gaussian, Stochastic
from dreamerax.dynamics.transitions import Residual, StateTransition
from dreamerax.nets.blocks import Activation, Linear, PlainMLP


@dataclass(frozen=True)
class Embedded(Dynamics):
  """The posterior is q(s_t | o_t); the prior follows from the last state and the action by a transition.

  It suits observations that show the whole state. With `Deterministic` and `PlainKL`, the posterior is a point g(o_t) and
  the loss half of |g(o_t) - f(g(o_t-1), a_t)|^2, whose gradient reaches both embeddings.
  """

  transition: StateTransition = field(default_factory=Residual)
  stochastic: Stochastic = field(default_factory=lambda: Gaussian(dims=8))
  layers: int = 1  # hidden layers between an observation's embedding and the state; 0: a linear map
  units: int = 128  # width of the hidden layers
  activation: Activation = "relu"  # of these layers

  def __post_init__(self):
    checks.at_least(0, self, "layers")
    checks.at_least(1, self, "units")
    if isinstance(self.stochastic, Categorical):
      raise ValueError(
        f"stochastic={self.stochastic} has classes, which no transition moves: choose Gaussian or Deterministic"
      )

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "EmbeddedModule":
    return EmbeddedModule(self, embed, action, dtype=dtype, rngs=rngs)


class EmbeddedModule(FilteringModule):
  """Built from `Embedded`. Its latents hold "prior" too, the statistics of their prior: the last state gave them."""

  def __init__(
    self, config: Embedded, embed: int, action: int, *, outputs: int | None = None, dtype: Any, rngs: nnx.Rngs
  ):
    """outputs: how many numbers an embedding becomes; by default the posterior's statistics."""
    self.stochastic, self.dtype = config.stochastic, dtype
    self.deter_size, self.stoch_size = 0, config.stochastic.size
    stats, how = config.stochastic.stats_size, {"dtype": dtype, "rngs": rngs}
    self.transition = config.transition.build(self.stoch_size, action, stats, **how)
    self.mlp = PlainMLP(embed, config.units, config.layers, config.activation, **how)
    self.out = Linear(self.mlp.output_size, stats if outputs is None else outputs, **how)

  @property
  def predicted_sizes(self) -> Mapping[str, int]:
    return {**super().predicted_sizes, "prior": self.stochastic.stats_size}

  def project_action(self, action: jax.Array) -> jax.Array:
    """The action itself: transitions may take it in any way."""
    return action.astype(self.dtype)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    """[..., E] -> [..., P], the posterior's statistics."""
    return self.out(self.mlp(embed))

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    return {"deter": latent["deter"], "prior": self.transition(latent["stoch"], projected_action)}

  def prior(self, latent: Latent) -> jax.Array:
    return latent["prior"]

  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    return projected_embed

  def observe(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """All steps at once: no posterior waits for the one before it."""
    stats, keys = self.project_embed(embed), jax.random.split(key, action.shape[1])
    stoch = jax.vmap(self.stochastic.sample, in_axes=(1, 0), out_axes=1)(stats, keys).astype(self.dtype)
    seen = self.settle({}, stats, stoch)
    before = {name: jnp.concatenate([latent[name][:, None], x[:, :-1]], 1) for name, x in seen.items()}
    before = {name: jnp.where(is_first[..., None], 0, x) for name, x in before.items()}
    before["deter"] = jnp.zeros((*is_first.shape, 0), self.dtype)
    predicted = self.predict(before, self.project_action(jnp.where(is_first[..., None], 0, action)))
    return self.settle(predicted, stats, stoch), stats
