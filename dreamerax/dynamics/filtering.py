"""Defines what dynamics share that first predict a step from the last, and then correct it by what was observed."""

import abc
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.dynamics.base import DynamicsModule, Latent, reset_where
from dreamerax.dynamics.stochastic import Stochastic
from dreamerax.ops.scan import scan
from dreamerax.types import ArraySpec


class FilteringModule(DynamicsModule):
  """A step predicts what needs no observation, and samples "stoch" from the prior or, having observed, from the posterior.

  What actions and embeddings contribute does not depend on the state: subclasses compute these projections apart, and sequences
  have them computed for all steps at once, outside the scan.
  """

  stochastic: Stochastic
  dtype: Any  # to compute in

  prior_parts: tuple[str, ...] = ()
  """Names of the children that `prior` alone calls; empty where the prior is not apart from the rest."""

  @property
  def predicted_sizes(self) -> Mapping[str, int]:
    """Lengths of a latent's entries beside "stoch"."""
    return {"deter": self.deter_size}

  @abc.abstractmethod
  def project_action(self, action: jax.Array) -> jax.Array:
    """[..., A] -> [..., N]: what the action contributes to the prediction."""

  @abc.abstractmethod
  def project_embed(self, embed: jax.Array) -> jax.Array:
    """[..., E] -> [..., N]: what the embedding contributes to the posterior."""

  @abc.abstractmethod
  def predict(self, latent: Latent, projected_action: jax.Array) -> Latent:
    """The next latent but for "stoch": all that its prior and posterior need of the past."""

  @abc.abstractmethod
  def posterior(self, predicted: Latent, projected_embed: jax.Array) -> jax.Array:
    """[..., P] statistics of the stochastic part, given what was predicted and observed."""

  def settle(self, predicted: Latent, stats: jax.Array, stoch: jax.Array) -> Latent:
    """The latent of a step, once its stochastic part is known: its entries in `drawn` beside what was predicted.

    Args:
      stats: [..., P], of the posterior, or of the prior where nothing was observed.
      stoch: [..., S], a sample or the mean.
    """
    return {**predicted, "stoch": stoch}

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    name = jnp.dtype(self.dtype).name
    predicted = {key: ArraySpec((size,), name) for key, size in self.predicted_sizes.items() if size}
    return {**predicted, "stoch": self.stochastic.stored_spec}

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    predicted = {key: latent[key].astype(self.dtype) for key, size in self.predicted_sizes.items() if size}
    return {**predicted, "stoch": self.stochastic.pack(latent["stoch"])}

  def unpack(self, stored: Mapping[str, jax.Array]) -> Latent:
    stoch = self.stochastic.unpack(stored["stoch"])
    leading = stoch.shape[:-1]
    predicted = {k: stored[k] if size else jnp.zeros((*leading, 0)) for k, size in self.predicted_sizes.items()}
    return jax.tree.map(lambda x: x.astype(self.dtype), {**predicted, "stoch": stoch})

  def initial(self, batch: int) -> Latent:
    sizes = {**self.predicted_sizes, "stoch": self.stoch_size}
    return {key: jnp.zeros((batch, size), self.dtype) for key, size in sizes.items()}

  def observe_step(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    projected_action = self.project_action(reset_where(is_first, action))
    return self._observe_step(latent, projected_action, self.project_embed(embed), is_first, key)

  def observe(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    action = jnp.where(is_first[..., None], 0.0, action)
    inputs = (self.project_action(action), self.project_embed(embed), is_first)
    inputs = jax.tree.map(lambda x: x.swapaxes(0, 1), inputs)  # [T, B, ...]
    keys = jax.random.split(key, action.shape[1])

    outputs = scan(lambda latent, inputs: self._observe_step(latent, *inputs), latent, (*inputs, keys))
    return jax.tree.map(lambda x: x.swapaxes(0, 1), outputs)  # [B, T, ...]

  def imagine_step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    predicted = self.predict(latent, self.project_action(action))
    stats = self.prior(predicted)
    return self.settle(predicted, stats, self._sample(stats, key))

  def expect_step(self, latent: Latent, action: jax.Array) -> Latent:
    predicted = self.predict(latent, self.project_action(action))
    stats = self.prior(predicted)
    return self.settle(predicted, stats, self.stochastic.mean(stats).astype(self.dtype))

  def kl(self, posterior: jax.Array, prior: jax.Array) -> jax.Array:
    return self.stochastic.kl(posterior, prior)

  def entropy(self, stats: jax.Array) -> jax.Array:
    return self.stochastic.entropy(stats)

  def log_prob(self, stoch: jax.Array, stats: jax.Array) -> jax.Array:
    return self.stochastic.log_prob(stoch, stats)

  def _observe_step(
    self, latent: Latent, projected_action: jax.Array, projected_embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    predicted = self.predict(reset_where(is_first, latent), projected_action)
    stats = self.posterior(predicted, projected_embed)
    return self.settle(predicted, stats, self._sample(stats, key)), stats

  def _sample(self, stats: jax.Array, key: jax.Array) -> jax.Array:
    return self.stochastic.sample(stats, key).astype(self.dtype)
