"""Priors of fitted linear dynamics: how a step moves before its own episodes were looked at."""

import abc
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dreamerax.behavior.imagination import Latent, World
from dreamerax.ops import linear_gaussian
from dreamerax.ops.linear_gaussian import LinearDynamics, Prior

# Share of the mean variance that the world's prior adds to each state and action: a goal that none of the newest episodes
# had moves as the world model says, which is not at all.
_WIDER = 0.01


@dataclass(frozen=True)
class DynamicsPrior(abc.ABC):
  """Configuration of a prior of linear dynamics of a world's features."""

  @abc.abstractmethod
  def __call__(self, world: World, latents: Latent, states: jax.Array, actions: jax.Array) -> Prior:
    """latents [B, H + 1, ...] of whole episodes, their features [B, H + 1, X], actions [B, H, U] -> the prior."""


@dataclass(frozen=True)
class AllSteps(DynamicsPrior):
  """All steps of an episode move alike."""

  def __call__(self, world: World, latents: Latent, states: jax.Array, actions: jax.Array) -> Prior:
    return linear_gaussian.pooled


@dataclass(frozen=True)
class WorldStep(DynamicsPrior):
  """A step moves as the world model expects around the step's mean, with the noise of its errors over all steps.

  The features have to be entries of the latent, whose next state depends on them (Zhang et al. 2019, SOLAR, where the
  world model is a linear system).
  """

  def __call__(self, world: World, latents: Latent, states: jax.Array, actions: jax.Array) -> Prior:
    before = jax.tree.map(lambda x: x[:, :-1].mean(0), latents)
    model = jax.vmap(partial(linearised, world))(before, actions.mean(0))
    inputs = jnp.concatenate([states[:, :-1], actions], -1)
    expected = jnp.einsum("hxz,bhz->bhx", model.transition, inputs, precision="highest") + model.offset
    error = (states[:, 1:] - expected).reshape(-1, states.shape[-1])
    noise = jnp.matmul(error.T, error, precision="highest") / len(error)
    model = model._replace(covariance=jnp.broadcast_to(noise, (actions.shape[1], *noise.shape)))
    return partial(linear_gaussian.centred, model=model, wider=_WIDER)


def linearised(world: World, latent: Latent, action: jax.Array) -> LinearDynamics:
  """The world's expected step around one latent [...] and action [U], in features; its covariance is zero.

  Features change by the least change of the latent that changes them so.
  """
  flat, unravel = ravel_pytree(latent)

  def features(flat: jax.Array) -> jax.Array:
    return world.features(_alone(unravel(flat)))[0].astype(jnp.float32)

  def following(flat: jax.Array, action: jax.Array) -> jax.Array:
    return world.features(world.expect(_alone(unravel(flat)), action[None]))[0].astype(jnp.float32)

  by_latent, by_action = jax.jacfwd(following, (0, 1))(flat, action)
  shown = jax.jacfwd(features)(flat)
  by_state = jnp.matmul(by_latent, jnp.linalg.pinv(shown), precision="highest")
  transition = jnp.concatenate([by_state, by_action], -1)
  here = jnp.concatenate([features(flat), action])
  offset = following(flat, action) - jnp.matmul(transition, here, precision="highest")
  return LinearDynamics(transition, offset, jnp.zeros((len(offset), len(offset))))


def _alone(latent: Latent) -> Latent:
  return jax.tree.map(lambda x: x[None], latent)
