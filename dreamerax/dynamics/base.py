"""Defines what every latent dynamics can do; world model, behaviour and agent know no more of it than this."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.types import ArraySpec

# The state at one time: "deter" [..., D], "stoch" [..., S], and what else its prior needs. D may be 0.
Latent = dict[str, jax.Array]


@dataclass(frozen=True)
class Dynamics(abc.ABC):
  """Configuration of a latent dynamics."""

  @abc.abstractmethod
  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "DynamicsModule":
    """embed: length of an observation's embedding. action: length of an action vector."""


class DynamicsModule(nnx.Module):
  """The motion of latent state: with observations (the posterior) or without (the
  prior)."""

  deter_size: int
  stoch_size: int

  drawn: tuple[str, ...] = ("stoch",)
  """Names of the entries of a latent that its observation changes: the sample, and the belief where one is kept."""

  members: int = 1
  """How many priors there are, from 1; each may be followed by itself."""

  @abc.abstractmethod
  def initial(self, batch: int) -> Latent:
    """[batch, F] zeros, the state before anything was seen."""

  @property
  @abc.abstractmethod
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    """The arrays of one step's latent in replay; entries of length 0 are not stored."""

  @abc.abstractmethod
  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    """Latent [..., F] -> arrays to store, as `latent_spec` says."""

  @abc.abstractmethod
  def unpack(self, stored: Mapping[str, jax.Array]) -> Latent:
    """The inverse of `pack`."""

  @abc.abstractmethod
  def observe_step(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """One posterior step; where is_first [B], everything before is forgotten.

    Args:
      latent: [B, F]. action: [B, A], led to the observation. embed: [B, E].

    Returns:
      The posterior latent [B, F] and the statistics of its stochastic part [B, P].
    """

  @abc.abstractmethod
  def observe(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """`observe_step` over sequences: action [B, T, A], embed [B, T, E], is_first [B, T] -> latents and stats [B, T, ...]."""

  @abc.abstractmethod
  def imagine_step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    """One prior step: latent [..., F] and the action taken there [..., A] -> the next latent [..., F]."""

  @abc.abstractmethod
  def expect_step(self, latent: Latent, action: jax.Array) -> Latent:
    """`imagine_step` with the stochastic part's mean in place of a sample; smooth in latent and action."""

  def imagine_step_as(self, member: jax.Array, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    """`imagine_step` by the prior of one member, 0 … members - 1, a scalar."""
    return self.imagine_step(latent, action, key)

  def expect_step_as(self, member: jax.Array, latent: Latent, action: jax.Array) -> Latent:
    """`expect_step` by the prior of one member, 0 … members - 1, a scalar."""
    return self.expect_step(latent, action)

  @abc.abstractmethod
  def prior(self, latent: Latent) -> jax.Array:
    """[..., P] statistics that the stochastic part had without seeing the observation."""

  @abc.abstractmethod
  def kl(self, posterior: jax.Array, prior: jax.Array) -> jax.Array:
    """KL(posterior ‖ prior) [...] in nats from their statistics [..., P]."""

  @abc.abstractmethod
  def entropy(self, stats: jax.Array) -> jax.Array:
    """Entropy [...] in nats of the stochastic part with statistics [..., P]."""

  @abc.abstractmethod
  def log_prob(self, stoch: jax.Array, stats: jax.Array) -> jax.Array:
    """Log-density [...] of the stochastic part [..., S], or its log-probability, under statistics [..., P]."""

  def features(self, latent: Latent) -> jax.Array:
    """[..., D + S], what heads, actor and critic see."""
    return jnp.concatenate([latent["deter"], latent["stoch"]], -1)

  @property
  def feature_size(self) -> int:
    return self.deter_size + self.stoch_size

  def imagine(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    """Latents [B, T, F] that follow from `latent` [B, F] under actions [B, T, A], without observations."""

    def step(latent: Latent, inputs: tuple[jax.Array, jax.Array]) -> tuple[Latent, Latent]:
      latent = self.imagine_step(latent, *inputs)
      return latent, latent

    keys = jax.random.split(key, action.shape[1])
    _, latents = jax.lax.scan(step, latent, (action.swapaxes(0, 1), keys))  # [T, B, F]
    return jax.tree.map(lambda x: x.swapaxes(0, 1), latents)


def reset_where(is_first: jax.Array, tree: Any) -> Any:
  """Zeros every array [B, ...] of `tree` in the rows where is_first [B]."""
  return jax.tree.map(lambda x: jnp.where(is_first.reshape(-1, *[1] * (x.ndim - 1)), 0, x), tree)
