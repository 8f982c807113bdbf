"""Rollouts inside a learned world; knows no network, only callables."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dreamerax.ops.backend import unroll
from dreamerax.types import ArrayDict

Latent = dict[str, jax.Array]


class World(NamedTuple):
  """A learned world as a behaviour sees it."""

  step: Callable[[Latent, jax.Array, jax.Array], Latent]  # latent [N, F], action [N, A], key -> next latent
  expect: Callable[[Latent, jax.Array], Latent]  # latent [N, F], action [N, A] -> the mean of the next latent
  features: Callable[[Latent], jax.Array]  # latent -> [..., F]
  reward: Callable[[jax.Array], jax.Array]  # features [..., F] -> expected reward on arriving there [...]
  continues: Callable[[jax.Array], jax.Array]  # features -> probability of going on [...], the discount included
  # visible observations {name: [..., *shape]}, key -> embedding [..., E]
  encode: Callable[[ArrayDict, jax.Array], jax.Array]
  # embedding [..., E], key -> features [..., F] of a state in which this is the only observation so far
  glance: Callable[[jax.Array, jax.Array], jax.Array]
  # latent [N, F], maps [N, H, W, C] of images -> the maps moved as the step into the latent moved pixels; None where a
  # model moves no pixels
  move: Callable[[Latent, jax.Array], jax.Array] | None = None
  decode: Callable[[Latent], dict[str, jax.Array]] | None = (
    None  # latent -> the observations that the model decodes there
  )
  members: int = 1  # how many predictions of the next latent there are
  # index 0 … members - 1 -> the world as that member alone predicts it; where there is one, it may be left out
  member: Callable[[jax.Array], "World"] | None = None
  # features [..., F] -> probability [...] that each event happens on arriving there, by name
  event_probabilities: Callable[[jax.Array], dict[str, jax.Array]] = lambda features: {}


def wrap(world: World, wrapped: Callable[[World], World]) -> World:
  """`wrapped(world)`, whose members are those of `world`, each wrapped, too."""
  member = world.member
  return wrapped(world)._replace(member=None if member is None else lambda index: wrapped(member(index)))


class Rollout(NamedTuple):
  """Imagined states, the start included, and the action taken in each."""

  features: jax.Array  # [N, H + 1, F]
  actions: jax.Array  # [N, H + 1, A]


def imagine(
  world: World,
  policy: Callable[[jax.Array, jax.Array], jax.Array],
  start: Latent,
  horizon: int,
  key: jax.Array,
) -> Rollout:
  """Lets `policy` (features [N, F], key -> actions [N, A]) act for `horizon` agent steps from latents start [N, F]."""

  def step(latent: Latent, key: jax.Array) -> tuple[Latent, tuple[jax.Array, jax.Array]]:
    action_key, step_key = jax.random.split(key)
    features = world.features(latent)
    action = policy(features, action_key)
    return world.step(latent, action, step_key), (features, action)

  keys = jax.random.split(key, horizon + 1)
  last, (features, actions) = jax.lax.scan(step, start, keys[:-1], unroll=unroll())  # [H, N, ...]
  last_features = world.features(last)
  last_action = policy(last_features, keys[-1])
  features = jnp.concatenate([features, last_features[None]])
  actions = jnp.concatenate([actions, last_action[None]])
  return Rollout(features.swapaxes(0, 1), actions.swapaxes(0, 1))
