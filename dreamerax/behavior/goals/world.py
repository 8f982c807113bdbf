"""The world with a goal: one that lies in the latent and that imagination leaves alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.behavior.imagination import Latent, World, wrap


def with_goals(world: World, reward: Callable[[jax.Array, jax.Array], jax.Array], size: int) -> World:
  """The world with latents as `with_goal` makes them, and with the features of state and goal, [..., F + G].

  Args:
    reward: features [..., F] and those of the goal [..., G] -> the reward on arriving there [...].
    size: G, which is F where goals are states.
  """

  return wrap(world, lambda each: _with_goals(each, reward, size))


def _with_goals(world: World, reward: Callable[[jax.Array, jax.Array], jax.Array], size: int) -> World:
  def glance(embed: jax.Array, key: jax.Array) -> jax.Array:
    """A state that is seen alone is its own goal."""
    features = world.glance(embed, key)
    return jnp.concatenate([features, features], -1)

  def parts(features: jax.Array) -> list[jax.Array]:
    return jnp.split(features, [features.shape[-1] - size], -1)

  return world._replace(
    step=lambda latent, action, key: with_goal(world.step(latent["world"], action, key), latent["goal"]),
    expect=lambda latent, action: with_goal(world.expect(latent["world"], action), latent["goal"]),
    features=lambda latent: jnp.concatenate([world.features(latent["world"]), latent["goal"]], -1),
    reward=lambda features: reward(*parts(features)),
    continues=lambda features: world.continues(parts(features)[0]),
    glance=glance,
    event_probabilities=lambda features: world.event_probabilities(parts(features)[0]),
  )


def with_goal(latent: Any, goal: jax.Array) -> Latent:
  """A latent [...] of the world and a goal, its features [..., F] or its images [..., H, W, C], as one latent."""
  return {"world": latent, "goal": goal}
