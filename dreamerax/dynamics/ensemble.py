"""Several priors of one state: an ensemble that agrees on what was observed, and may differ about what comes next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, DynamicsModule, Latent
from dreamerax.dynamics.filtering import FilteringModule
from dreamerax.dynamics.rssm import RSSM
from dreamerax.nets.modules import params_of, with_params


@dataclass(frozen=True)
class PriorEnsemble(Dynamics):
  """`members` priors with one posterior and one deterministic path, around a dynamics whose prior is a network of its own.

  Members start from different parameters and learn from the same batches (PDDM, Nagabandi et al. 2019): the divergence
  is the mean over the members. A step without an observation draws one of them at random for each state; a planner
  follows each by itself. With one member it is the inner dynamics.
  """

  inner: Dynamics = field(default_factory=RSSM)
  members: int = 3

  def __post_init__(self):
    checks.at_least(1, self, "members")

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "PriorEnsembleModule":
    """Raises ValueError where the prior of the inner dynamics is no network of its own."""
    return PriorEnsembleModule(self, embed, action, dtype=dtype, rngs=rngs)


class PriorEnsembleModule(FilteringModule):
  """Built from `PriorEnsemble`: the inner dynamics, whose prior has parameters [K, ...] of all K members.

  Statistics [..., K P] are those of all members, one after the other; a posterior's are K times the same.
  """

  def __init__(self, config: PriorEnsemble, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    def build(rngs: nnx.Rngs) -> DynamicsModule:
      return config.inner.build(embed, action, dtype=dtype, rngs=rngs)

    inner = build(rngs)
    if not isinstance(inner, FilteringModule) or not inner.prior_parts:
      name = type(config.inner).__name__
      raise ValueError(
        f"dynamics.inner={name} has no prior that stands apart: choose RSSM or GruRSSM, or no PriorEnsemble"
      )
    self.inner = with_params(inner, _stacked(inner, build, config.members, rngs))
    self.members, self.stochastic, self.dtype = config.members, inner.stochastic, dtype
    self.deter_size, self.stoch_size = inner.deter_size, inner.stoch_size

  @property
  def predicted_sizes(self) -> Mapping[str, int]:
    return self.inner.predicted_sizes

  def project_action(self, action: jax.Array) -> jax.Array:
    return self.inner.project_action(action)

  def project_embed(self, embed: jax.Array) -> jax.Array:
    return self.inner.project_embed(embed)

  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    return self.inner.predict(latent, projected_action)

  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    return jnp.tile(self.inner.posterior(predicted, projected_embed), self.members)

  def prior(self, latent: Latent) -> jax.Array:
    params = params_of(self.inner)
    axes = {name: 0 if name in self.inner.prior_parts else None for name in params}
    stats = jax.vmap(lambda each: with_params(self.inner, each).prior(latent), (axes,), -2)(params)  # [..., K, P]
    return jax.lax.collapse(stats, stats.ndim - 2)

  def expect_step(self, latent: Latent, action: jax.Array) -> Latent:
    """The mean over the members' means."""
    predicted = self.predict(latent, self.project_action(action))
    stats = self.prior(predicted)
    mean = self.stochastic.mean(self._apart(stats)).mean(-2)
    return self.settle(predicted, stats, mean.astype(self.dtype))

  def kl(self, posterior: jax.Array, prior: jax.Array) -> jax.Array:
    return self.inner.kl(self._apart(posterior), self._apart(prior)).mean(-1)

  def entropy(self, stats: jax.Array) -> jax.Array:
    return self.inner.entropy(self._apart(stats)).mean(-1)

  def log_prob(self, stoch: jax.Array, stats: jax.Array) -> jax.Array:
    """The mean over the members."""
    return self.inner.log_prob(jnp.repeat(stoch[..., None, :], self.members, -2), self._apart(stats)).mean(-1)

  def imagine_step_as(self, member: jax.Array, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self._member(member).imagine_step(latent, action, key)

  def expect_step_as(self, member: jax.Array, latent: Latent, action: jax.Array) -> Latent:
    return self._member(member).expect_step(latent, action)

  def _sample(self, stats: jax.Array, key: jax.Array) -> jax.Array:
    """Of one member, which is drawn at random for each state."""
    index = jax.random.randint(jax.random.fold_in(key, 1), stats.shape[:-1], 0, self.members)
    own = jnp.take_along_axis(self._apart(stats), index[..., None, None], -2)[..., 0, :]
    return super()._sample(own, key)

  def _apart(self, stats: jax.Array) -> jax.Array:
    """[..., K P] -> [..., K, P]."""
    return stats.reshape(*stats.shape[:-1], self.members, self.stochastic.stats_size)

  def _member(self, index: jax.Array) -> FilteringModule:
    """The inner dynamics with the prior of one member."""
    params = params_of(self.inner)
    own = {name: jax.tree.map(lambda x: x[index], params[name]) for name in self.inner.prior_parts}
    return with_params(self.inner, {**params, **own})


def _stacked(
  inner: FilteringModule, build: Callable[[nnx.Rngs], DynamicsModule], members: int, rngs: nnx.Rngs
) -> dict[str, Any]:
  """The parameters of `inner`, with a first axis of members on those of its prior; the first member is its own."""
  params = params_of(inner)
  own = {name: params[name] for name in inner.prior_parts}
  stacked = jax.tree.map(lambda x: x[None], own)
  if members > 1:
    keys = jax.random.split(rngs.params(), members - 1)

    def prior(key: jax.Array) -> dict[str, Any]:
      built = params_of(build(nnx.Rngs(params=key)))
      return {name: built[name] for name in own}

    stacked = jax.tree.map(lambda *x: jnp.concatenate(x), stacked, jax.vmap(prior)(keys))
  return {**params, **stacked}
