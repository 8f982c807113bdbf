"""A posterior that sees the future, too: what training may know of a whole sequence, around any dynamics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Dynamics, DynamicsModule, Latent
from dreamerax.dynamics.rssm import RSSM
from dreamerax.nets.gru import GRU, ResetAfterGRU
from dreamerax.ops.scan import scan
from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class Smoothing(Dynamics):
  """The posterior of a step is q(s_t | s_t-1, a, o_1:T): a GRU runs backwards over what comes after the step.

  Its state b_t+1 is appended to the embedding that `inner` sees at t. There is no future at the last row of a sequence,
  at the end of an episode and when acting: b is zero there. Some training sequences see none either, because acting
  would be out of distribution otherwise.
  """

  inner: Dynamics = field(default_factory=RSSM)
  hidden: int = 128  # length of the backward state
  cell: GRU = field(default_factory=ResetAfterGRU)
  blind: float = 0.5  # share of the training sequences that see no future

  def __post_init__(self):
    checks.at_least(1, self, "hidden")
    checks.between(0, 1, self, "blind")

  def build(self, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "SmoothingModule":
    return SmoothingModule(self, embed, action, dtype=dtype, rngs=rngs)


class SmoothingModule(DynamicsModule):
  """Built from `Smoothing`; latents are those of the inner dynamics."""

  def __init__(self, config: Smoothing, embed: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.dtype = config, dtype
    self.inner = config.inner.build(embed + config.hidden, action, dtype=dtype, rngs=rngs)
    self.deter_size, self.stoch_size = self.inner.deter_size, self.inner.stoch_size
    self.drawn, self.members = self.inner.drawn, self.inner.members
    self.cell = config.cell.build(embed + action, config.hidden, dtype=dtype, rngs=rngs)

  def observe(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """The last row is what `observe_step` gives from the latent before it."""
    blind_key, observe_key = jax.random.split(key)
    blind = jax.random.bernoulli(blind_key, self.config.blind, (action.shape[0], 1, 1))
    future = jnp.where(blind, 0, self.future(action, embed, is_first))
    return self.inner.observe(latent, action, jnp.concatenate([embed, future], -1), is_first, observe_key)

  def observe_step(
    self, latent: Latent, action: jax.Array, embed: jax.Array, is_first: jax.Array, key: jax.Array
  ) -> tuple[Latent, jax.Array]:
    future = jnp.zeros((*embed.shape[:-1], self.config.hidden), embed.dtype)
    return self.inner.observe_step(latent, action, jnp.concatenate([embed, future], -1), is_first, key)

  def future(self, action: jax.Array, embed: jax.Array, is_first: jax.Array) -> jax.Array:
    """[B, T, hidden]: what is known at each step of those after it in its episode; the action that follows is among it."""
    inputs = self.cell.project_input(jnp.concatenate([embed, action.astype(embed.dtype)], -1))
    last = jnp.concatenate([is_first[:, 1:], jnp.ones_like(is_first[:, :1])], 1)  # another episode follows, or nothing

    def step(after: jax.Array, x: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      inputs, last = x
      after = jnp.where(last[:, None], 0, after)
      return self.cell(after, inputs), after

    backwards = jax.tree.map(lambda x: x.swapaxes(0, 1)[::-1], (inputs, last))  # [T, B, ...]
    _, future = scan(step, jnp.zeros((action.shape[0], self.config.hidden), self.dtype), backwards)
    return future[::-1].swapaxes(0, 1)

  def initial(self, batch: int) -> Latent:
    return self.inner.initial(batch)

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    return self.inner.latent_spec

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    return self.inner.pack(latent)

  def unpack(self, stored: Mapping[str, jax.Array]) -> Latent:
    return self.inner.unpack(stored)

  def imagine_step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self.inner.imagine_step(latent, action, key)

  def expect_step(self, latent: Latent, action: jax.Array) -> Latent:
    return self.inner.expect_step(latent, action)

  def imagine_step_as(self, member: jax.Array, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self.inner.imagine_step_as(member, latent, action, key)

  def expect_step_as(self, member: jax.Array, latent: Latent, action: jax.Array) -> Latent:
    return self.inner.expect_step_as(member, latent, action)

  def prior(self, latent: Latent) -> jax.Array:
    return self.inner.prior(latent)

  def kl(self, posterior: jax.Array, prior: jax.Array) -> jax.Array:
    return self.inner.kl(posterior, prior)

  def entropy(self, stats: jax.Array) -> jax.Array:
    return self.inner.entropy(stats)

  def log_prob(self, stoch: jax.Array, stats: jax.Array) -> jax.Array:
    return self.inner.log_prob(stoch, stats)
