"""Plans come to where the image is that of the goal."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.base import Situation
from dreamerax.behavior.goal_image_foresight import GoalImageForesight, comparing
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.presets import build
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests.behavior.blobs import SPEC, WORLD, photographed


def test_it_goes_where_the_image_is_that_of_the_goal():
  planning = Planning(BlockCEM(horizon=3, repeat=1, candidates=64, elites=8))
  module = GoalImageForesight(planning).build(2, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  place, goal = np.array([[2.0, 2], [5, 1]]), np.array([[4.0, 1], [5, 4]])
  hidden = {"goal/image": photographed(jnp.asarray(goal))}
  act = jax.jit(
    lambda place, memory, key: module.act(WORLD, Situation({"place": place}, memory, hidden, {}), key, explore=False)
  )
  memory = module.initial_memory(2)
  for key in jax.random.split(jax.random.key(0), 4):
    action, memory = act(jnp.asarray(place), memory, key)
    place = place + np.round(action)
  np.testing.assert_array_equal(place, goal)
  assert module.needs == ("goal/image",)


def test_an_image_is_worth_its_mean_squared_difference_from_the_goals():
  world = comparing(WORLD._replace(decode=lambda latent: {"image": latent["image"]}), ("goal/image",))
  images, goals = np.random.default_rng(0).uniform(size=(2, 3, 4, 5, 2))
  found = world.reward(world.features({"world": {"image": jnp.asarray(images)}, "goal": jnp.asarray(goals)}))
  expected = [-np.mean((image - goal) ** 2) for image, goal in zip(images, goals, strict=True)]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_goals_image_has_to_be_shown_and_images_to_be_predicted():
  run, image = build("oh").agent, ArraySpec((64, 64, 3), "uint8")
  aimed = replace(run, behavior=GoalImageForesight())
  with pytest.raises(
    ValueError, match=r"agent\.behavior needs the observation 'goal/image', and the environment shows"
  ):
    Agent(aimed, EnvSpec({"image": image}, ActionSpec(2)))
  shown = EnvSpec({"image": image, "goal/image": image}, ActionSpec(2))
  blind = replace(build("cfm").agent, behavior=GoalImageForesight())
  with pytest.raises(
    ValueError, match=r"agent\.world_model does not decode 'image': choose a world model with a decoder"
  ):
    Agent(blind, shown)
  with pytest.raises(ValueError, match=r"'goal/image' is uint8 \[32, 32, 3\], and 'image' is uint8 \[64, 64, 3\]"):
    Agent(aimed, EnvSpec({"image": image, "goal/image": ArraySpec((32, 32, 3), "uint8")}, ActionSpec(2)))
  guided = GoalImageForesight(Planning(CEM(), guide=ActorCriticV2()))
  with pytest.raises(ValueError, match=r"behavior\.planning\.guide: a critic does not know the goal's image"):
    guided.build(1, shown, dtype=jnp.float32, rngs=nnx.Rngs(0))
