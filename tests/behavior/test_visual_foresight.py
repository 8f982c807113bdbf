"""A marked pixel is followed and brought to its goal, in a world that moves pixels as its actions say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.base import Situation
from dreamerax.behavior.imagination import World
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.visual_foresight import VisualForesight, expected_distance, moved, one_hot
from dreamerax.ops.advection import advect
from dreamerax.presets import build
from dreamerax.types import PIXELS, ActionSpec, ArraySpec, EnvSpec

SIDE = 8
SPEC = EnvSpec({"image": ArraySpec((SIDE, SIDE, 3), "uint8"), PIXELS: ArraySpec((4,))}, ActionSpec(2))


def shift(latent, maps):
  """Moves maps by the latent's whole pixels, -1, 0 or 1 down and right, a quarter of what is there being lost."""
  down, right = latent["move"][:, 0], latent["move"][:, 1]
  taps = jax.nn.one_hot(4 - 3 * down - right, 9)
  return advect(maps, 0.75 * jnp.broadcast_to(taps[..., None, None], (len(maps), 9, *maps.shape[1:3])))


WORLD = World(
  step=lambda latent, action, key: {"move": jnp.round(action).astype(jnp.int32)},
  expect=lambda latent, action: {"move": jnp.round(action).astype(jnp.int32)},
  features=lambda latent: latent["move"],
  reward=lambda features: features[..., 0],
  continues=lambda features: features[..., 0],
  encode=lambda observation, key: observation["image"],
  glance=lambda embed, key: embed,
  move=shift,
)


def test_the_expected_distance_is_that_of_a_loop():
  rng = np.random.default_rng(0)
  where = rng.dirichlet(np.ones(20), 3).reshape(3, 4, 5, 1)
  goal = rng.uniform(size=(3, 2))
  expected = np.zeros(3)
  for n, i, j in np.ndindex(3, 4, 5):
    expected[n] += where[n, i, j, 0] * np.hypot((i + 0.5) / 4 - goal[n, 0], (j + 0.5) / 5 - goal[n, 1])
  np.testing.assert_allclose(expected_distance(jnp.asarray(where), jnp.asarray(goal)), expected, rtol=1e-5)


def test_a_plan_that_loses_the_pixel_is_worth_no_more_than_one_that_leaves_it_where_it_was():
  where = one_hot(jnp.array([[0.0, 0.4]]), (SIDE, SIDE))
  up, nowhere = {"move": jnp.array([[-1, 0]])}, {"move": jnp.zeros((1, 2), jnp.int32)}
  for latent in (up, nowhere):
    np.testing.assert_allclose(moved(WORLD, latent, where), where, rtol=1e-6)


def test_pixels_are_marked_where_they_are():
  marked = np.asarray(one_hot(jnp.array([[0.3, 0.99], [0.0, 0.2]]), (4, 5)))[..., 0]
  assert marked[0, 1, 4] == 1 and marked[1, 0, 1] == 1 and marked.sum() == 2


def test_the_pixel_is_brought_to_its_goal_and_followed_by_the_chosen_actions():
  behavior = VisualForesight(Planning(BlockCEM(horizon=2, repeat=1, candidates=64, elites=8, iterations=3)))
  module = behavior.build(2, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  begin, goal = np.array([[2.5, 2.5], [5.5, 1.5]]) / SIDE, np.array([[4.5, 1.5], [5.5, 4.5]]) / SIDE
  pixels = jnp.asarray(np.concatenate([begin, goal], 1), jnp.float32)
  act = jax.jit(
    lambda latent, memory, hidden, key: module.act(WORLD, Situation(latent, memory, hidden, {}), key, explore=False)
  )
  latent, memory = {"move": jnp.zeros((2, 2), jnp.int32)}, module.initial_memory(2)
  place, shown = np.array([[2, 2], [5, 1]]), pixels
  for key in jax.random.split(jax.random.key(0), 4):
    action, memory = act(latent, memory, {PIXELS: shown}, key)
    np.testing.assert_allclose(np.asarray(memory["map"]).sum((1, 2, 3)), 1, rtol=1e-5)
    assert all(memory["map"][n, *place[n], 0] == pytest.approx(1) for n in range(2))
    latent = {"move": jnp.round(action).astype(jnp.int32)}
    place = place + np.round(action).astype(int)
    shown = jnp.zeros_like(pixels)  # nothing is marked anew
  np.testing.assert_array_equal(place, [[4, 1], [5, 4]])


def test_models_and_environments_that_it_cannot_follow_pixels_in_are_refused_by_name():
  run = build("foresight").agent
  image = ArraySpec((64, 64, 3), "uint8")
  with pytest.raises(
    ValueError, match=r"agent\.behavior needs the observation 'goal/pixels', and the environment shows"
  ):
    Agent(run, EnvSpec({"image": image}, ActionSpec(2)))
  still = build("oh").agent.world_model
  spec = EnvSpec({"image": image, PIXELS: ArraySpec((4,))}, ActionSpec(2))
  with pytest.raises(ValueError, match=r"agent\.behavior follows pixels, and agent\.world_model moves none"):
    Agent(type(run)(still, run.behavior, run.optimizer), spec)
  with pytest.raises(
    ValueError, match="visual foresight predicts images, and the environment shows position: add an image"
  ):
    vectors = EnvSpec({"position": ArraySpec((2,)), PIXELS: ArraySpec((4,))}, ActionSpec(2))
    VisualForesight().build(2, vectors, dtype=jnp.float32, rngs=nnx.Rngs(0))


def test_no_critic_guides_the_plans():
  with pytest.raises(ValueError, match=r"behavior\.planning\.guide: a critic does not know the pixel's goal"):
    VisualForesight(Planning(CEM(), guide=ActorCriticV2())).build(1, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
