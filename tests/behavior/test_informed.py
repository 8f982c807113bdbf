"""Exploration by predicted images, in a grid whose model is known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.base import Situation
from dreamerax.behavior.exploring import Exploring
from dreamerax.behavior.imagination import World
from dreamerax.behavior.informed import Informed, resemblance
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from dreamerax.world_model.objectives.kl import FreeBits
from tests import tiny

SIDE, STEPS, ENVS = 6, 30, 8
MOVES = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])
SPEC = EnvSpec({"image": ArraySpec((SIDE, SIDE, 1), "uint8")}, ActionSpec(4, discrete=True))


def move(latent, action, key=None):
  return {"place": jnp.clip(latent["place"] + (action @ MOVES).astype(jnp.int32), 0, SIDE - 1)}


def draw(latent):
  rows, columns = (jax.nn.one_hot(latent["place"][..., axis], SIDE) for axis in (0, 1))
  return {"image": (rows[..., :, None] * columns[..., None, :])[..., None]}


WORLD = World(
  step=move,
  expect=move,
  features=lambda latent: latent["place"],
  reward=lambda features: features[..., 0],
  continues=lambda features: features[..., 0],
  encode=lambda observation, key: observation["image"],
  glance=lambda embed, key: embed,
  decode=draw,
)


def cells(choose) -> np.ndarray:
  """How many cells of the grid each of some environments has visited."""
  latent, memory = {"place": jnp.full((ENVS, 2), 2)}, None
  visited = [set() for _ in range(ENVS)]
  for key in jax.random.split(jax.random.key(0), STEPS):
    action, memory = choose(latent, memory, key)
    latent = move(latent, action)
    for each, place in zip(visited, np.asarray(latent["place"]), strict=True):
      each.add(tuple(place))
  return np.array([len(each) for each in visited])


def test_resemblance_is_that_of_a_loop():
  rng, config = np.random.default_rng(0), Informed(window=3, delta=0.1, sigma=2.0)
  image, seen = rng.uniform(0, 2, (2, 4, 5, 1)), rng.uniform(0, 2, (2, 3, 4, 5, 1))
  known = np.array([[True, True, False], [True, True, True]])
  expected = np.zeros(2)
  for n, i in zip(*np.nonzero(known), strict=True):
    expected[n] += np.exp(-np.minimum(np.maximum((image[n] - seen[n, i]) ** 2 - 0.1, 0), 1).sum() / 2.0)
  np.testing.assert_allclose(resemblance(image, seen, known, config), expected, rtol=1e-5)


def test_it_leaves_what_it_has_seen_and_visits_more_cells_than_chance():
  module = Informed(window=STEPS, sigma=0.5).build(2, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  act = jax.jit(lambda latent, memory, key: module.act(WORLD, Situation(latent, memory, {}, {}), key, explore=True))

  def informed(latent, memory, key):
    return act(latent, module.initial_memory(ENVS) if memory is None else memory, key)

  def chance(latent, memory, key):
    return jax.nn.one_hot(jax.random.randint(key, (ENVS,), 0, 4), 4), None

  found, random = cells(informed), cells(chance)
  assert found.min() > random.mean() and found.mean() > 1.5 * random.mean()
  # Beside a cell that it has just left, it does not turn back.
  memory = module.initial_memory(1)
  first, memory = act({"place": jnp.array([[2, 2]])}, memory, jax.random.key(1))
  again, _ = act(move({"place": jnp.array([[2, 2]])}, first), memory, jax.random.key(2))
  assert (np.asarray(first + again) @ MOVES).any()


def test_tasks_and_models_that_it_cannot_compare_images_in_are_refused_by_name():
  build = lambda spec: Informed().build(2, spec, dtype=jnp.float32, rngs=nnx.Rngs(0))  # noqa: E731
  with pytest.raises(ValueError, match="Informed compares all choices of one group: choose a task with such actions"):
    build(EnvSpec(SPEC.observation, ActionSpec(2)))
  with pytest.raises(ValueError, match="Informed compares images, and the environment shows position, velocity"):
    build(tiny.CHOICES)
  blind = tiny.config()
  world_model = replace(blind.world_model, objectives={"kl": FreeBits()})
  spec = EnvSpec(tiny.PIXELS.observation, ActionSpec(3, discrete=True))
  for behavior in (Informed(), Exploring(blind.behavior, Informed())):
    with pytest.raises(
      ValueError, match=r"agent\.world_model does not decode 'image': choose a world model with a decoder"
    ):
      Agent(replace(blind, world_model=world_model, behavior=behavior), spec)
  with pytest.raises(ValueError, match="sigma=0 must be more than 0"):
    Informed(sigma=0)
