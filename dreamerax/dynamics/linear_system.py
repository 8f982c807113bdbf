"""A linear dynamical system, whose posterior follows from it and from what each observation says of its state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, Latent, reset_where
from dreamerax.dynamics.filtering import FilteringModule
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.nets.blocks import Activation, Linear, PlainMLP
from dreamerax.ops import potentials
from dreamerax.ops.potentials import Potential
from dreamerax.ops.scan import scan
from dreamerax.ops.small import cholesky

_dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


@dataclass(frozen=True)
class LinearSystem(Dynamics):
  """z_1 ~ N(0, s² I), z_t+1 ~ N(A z_t + B a, D²); an observation is a Gaussian potential of its state.

  SOLAR (Zhang et al. 2019).

  The posterior is exact for these potentials. Training draws from that of all states given a whole sequence: messages run
  backwards, and each state is drawn given the one before it. Acting filters: the belief N(m, P) of the state given what
  was seen so far, whose mean is the sample's place. D is diagonal, which a rotation of the state brings about for any
  covariance, and N(0, s² I) does not see.
  """

  stochastic: FactoredGaussian = field(default_factory=lambda: FactoredGaussian(dims=10))
  layers: int = 0  # hidden layers between an observation's embedding and its potential
  units: int = 128  # width of the hidden layers
  activation: Activation = "relu"  # of these layers
  min_std: float = 0.01  # least deviation of a potential
  start_std: float = 0.3  # of the noise, D's diagonal, in the beginning
  start_push: float | None = None
  """B's diagonal in the beginning, the rest of it being zero: latents then are sums of actions before anything was learned.
  None: B is random, with a deviation of 0.1."""
  first_std: float = 1.0
  """s, of an episode's first state. A state that is seen alone, such as a goal, is drawn towards zero the less, the wider this
  is beside what one image says."""

  def __post_init__(self):
    checks.at_least(0, self, "layers")
    checks.at_least(1, self, "units")
    checks.more_than_zero(self, "min_std", "start_std", "first_std")
    if self.start_push is not None:
      checks.more_than_zero(self, "start_push")

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "LinearSystemModule":
    return LinearSystemModule(self, embed, action, dtype=dtype, rngs=rngs)


class LinearSystemModule(FilteringModule):
  """Built from `LinearSystem`; the system is computed in float32.

  Its latents hold "prior", the statistics before their observation was seen; "spread", a factor of P, zero where the state
  is a sample; and "begun", zero before the first state.
  """

  drawn = ("stoch", "spread")
  stochastic: FactoredGaussian

  def __init__(self, config: LinearSystem, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.stochastic, self.dtype = config, config.stochastic, dtype
    self.deter_size, self.stoch_size = 0, config.stochastic.size
    size, how = self.stoch_size, {"dtype": dtype, "rngs": rngs}
    self.mlp = PlainMLP(embed, config.units, config.layers, config.activation, **how)
    self.out = Linear(self.mlp.output_size, 2 * size, **how)
    self.turn = nnx.Param(jnp.eye(size))  # A
    random = 0.1 * jax.random.normal(rngs.params(), (size, action))
    self.push = nnx.Param(random if config.start_push is None else config.start_push * jnp.eye(size, action))  # B
    self.log_deviation = nnx.Param(jnp.full(size, jnp.log(config.start_std)))  # log D

  @property
  def predicted_sizes(self) -> Mapping[str, int]:
    return {**super().predicted_sizes, "prior": self.stochastic.stats_size, "spread": self.stoch_size**2, "begun": 1}

  def project_action(self, action: jax.Array) -> jax.Array:
    """[..., A] -> B a [..., n]."""
    return _dot(action.astype(jnp.float32), self.push[...].T)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    """[..., E] -> [..., n + n²], the observation's potential."""
    mean, raw = jnp.split(self.out(self.mlp(embed)).astype(jnp.float32), 2, -1)
    precision = 1 / jnp.square(jax.nn.softplus(raw) + self.config.min_std)
    return _flat(Potential(precision[..., None] * jnp.eye(self.stoch_size), precision * mean))

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    mean = latent["stoch"].astype(jnp.float32)
    spread = latent["spread"].astype(jnp.float32).reshape(*mean.shape, -1)
    turned, own = _dot(self.turn[...], spread), jnp.diag(jnp.exp(2 * self.log_deviation[...]))
    factor = cholesky(_dot(turned, turned.mT) + own)
    moved = self.stochastic.stats(_dot(mean, self.turn[...].T) + projected_action, factor)
    begun = latent["begun"]
    first = self.stochastic.stats(jnp.zeros(self.stoch_size), self.config.first_std * jnp.eye(self.stoch_size))
    prior = jnp.where(begun == 0, first, moved).astype(self.dtype)
    return {"deter": latent["deter"], "prior": prior, "begun": jnp.ones_like(begun)}

  def prior(self, latent: Latent) -> jax.Array:
    return latent["prior"]

  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    mean, factor = self.stochastic.mean_and_factor(predicted["prior"].astype(jnp.float32))
    return self.stochastic.stats(*potentials.condition(mean, factor, self._potential(projected_embed)))

  def settle(self, predicted: Latent, stats: jax.Array, stoch: jax.Array) -> Latent:
    """Of a state that is taken to be known."""
    nothing = jnp.zeros((*stoch.shape[:-1], self.stoch_size**2), self.dtype)
    return {**predicted, "stoch": stoch, "spread": nothing}

  def observe_step(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """One step of the Kalman filter; draws nothing."""
    predicted = self.predict(reset_where(is_first, latent), self.project_action(reset_where(is_first, action)))
    stats = self.posterior(predicted, self.project_embed(embed))
    mean, factor = self.stochastic.mean_and_factor(stats.astype(self.dtype))
    return {**predicted, "stoch": mean, "spread": factor.reshape(*mean.shape[:-1], -1)}, stats

  def observe(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """Draws from the posterior given the whole sequence.

    Statistics are those of a step given the one before it and all that follows, so that the KLs of the steps add up to that
    of the sequence, in expectation.
    """
    moved = self.project_action(jnp.where(is_first[..., None], 0.0, action))
    moved, own, first = (x.swapaxes(0, 1) for x in (moved, self.project_embed(embed), is_first))  # [T, B, ...]
    deviation = jnp.exp(self.log_deviation[...])
    told = _flat(potentials.messages(self._potential(own), self.turn[...], moved, deviation, first))
    keys = jax.random.split(key, action.shape[1])
    outputs = scan(lambda latent, inputs: self._observe_step(latent, *inputs), latent, (moved, told, first, keys))
    return jax.tree.map(lambda x: x.swapaxes(0, 1), outputs)  # [B, T, ...]

  def _potential(self, flat: jax.Array) -> Potential:
    """The inverse of `_flat`."""
    size = self.stoch_size
    return Potential(flat[..., size:].reshape(*flat.shape[:-1], size, size), flat[..., :size])


def _flat(potential: Potential) -> jax.Array:
  """[..., n + n²]: h, and the rows of J."""
  return jnp.concatenate([potential.linear, potential.precision.reshape(*potential.linear.shape[:-1], -1)], -1)
