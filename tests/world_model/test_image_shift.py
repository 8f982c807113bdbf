"""Images move at random in training alone, and no latents are stored then."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.behavior.uniform import Uniform
from dreamerax.replay import Replay, ReplayConfig
from dreamerax.types import ActionSpec, ArraySpec, Batch, EnvSpec
from tests import tiny

SPEC = EnvSpec({"image": ArraySpec((12, 12, 3), "uint8"), "place": ArraySpec((3,))}, ActionSpec(2))


@functools.cache
def _agent(shift: int) -> Agent:
  config = tiny.config()
  world_model = replace(config.world_model, image_shift=shift)
  return Agent(replace(config, world_model=world_model, behavior=Uniform()), SPEC)


def _one_colour(batch: Batch) -> Batch:
  """The batch with images of one colour each, which look the same wherever they stand."""
  image = jnp.broadcast_to(batch.steps.observation["image"][:, :, :1, :1], batch.steps.observation["image"].shape)
  return batch._replace(steps=batch.steps._replace(observation={**batch.steps.observation, "image": image}))


@functools.cache
def _update(shift: int):
  return jax.jit(_agent(shift).update)


def _loss(shift: int, batch: Batch) -> float:
  metrics = _update(shift)(_agent(shift).init(jax.random.key(0)), batch, jax.random.key(1))[2]
  return float(metrics["loss/total"])


@pytest.mark.slow
def test_an_update_learns_from_moved_images():
  batch = tiny.batch(_agent(0))._replace(context={})
  assert _loss(0, batch) != _loss(4, batch)
  assert _loss(0, _one_colour(batch)) == _loss(4, _one_colour(batch))


def test_no_latent_is_stored_as_the_images_of_its_step_stood_elsewhere():
  assert _agent(0).latent_spec and _agent(4).latent_spec == {}
  batch = tiny.batch(_agent(4))
  assert batch.context == {}
  with pytest.raises(ValueError, match=r"replay.context=1 .* stores none: give --replay.context 0"):
    Replay(SPEC, _agent(4).latent_spec, config=ReplayConfig(capacity=100), streams=1, seed=0)


def test_predictions_are_of_the_images_as_they_stand():
  still, moving = _agent(0), _agent(4)
  params, batch = still.init(jax.random.key(0))["params"], tiny.batch(still)
  found = [each.predict(params, batch, 2, jax.random.key(1)) for each in (still, moving)]
  jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_negative_shift_is_refused():
  with pytest.raises(ValueError, match="image_shift=-1"):
    _agent(-1)
