"""A world model of frames: what agents and reports get from it, with a predictor that can be followed by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from dreamerax.agent import Agent, AgentConfig
from dreamerax.behavior.uniform import Uniform
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.heads import NormalHead
from dreamerax.ops.optimizers import Adam
from dreamerax.presets import build
from dreamerax.types import ActionSpec, ArraySpec, Batch, EnvSpec
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.model import VideoModel
from tests import tiny
from tests.world_model.video.toys import PUSH, Toy, next_by_hand

# Two images, which the model stacks along channels and frames in zeros to 16 pixels a side.
SPEC = EnvSpec(
  {"above": ArraySpec((14, 13, 3), "uint8"), "beside": ArraySpec((14, 13, 1), "uint8"), "goal/above": ArraySpec((2,))},
  ActionSpec(2),
)
MODEL = VideoModel(
  predictor=Toy(),
  training=Curriculum(steps=(1, 2), begins=(0, 1)),
  encoder=StridedEncoder(depth=2, stages=1),
  reward=NormalHead(layers=1, units=8),
)


@pytest.fixture(scope="module")
def agent() -> Agent:
  return Agent(AgentConfig(MODEL, Uniform(), Adam(), compute_dtype="float32"), SPEC)


@pytest.fixture(scope="module")
def params(agent: Agent) -> dict:
  return agent.init(jax.random.key(0))["params"]


def framed(observation, row: int, t: int) -> np.ndarray:
  image = np.concatenate([observation["above"][row, t], observation["beside"][row, t]], -1) / 255
  return np.pad(image, ((1, 1), (1, 2), (0, 0)))


def test_a_sequence_is_its_steps_and_begins_anew_with_episodes(agent: Agent, params: dict):
  batch, key = tiny.batch(agent), jax.random.key(1)
  world, _ = agent.modules(params)
  seen = jax.jit(world.observe)(batch, key)
  steps = batch.steps
  latent = world.initial(4)
  step = jax.jit(world.observe_step)
  for row in range(4):
    total = np.zeros((16, 16, 4))
    for t in range(5):
      frame = framed(steps.observation, row, t)
      np.testing.assert_allclose(seen.latents["frame"][row, t], frame, rtol=1e-5)
      np.testing.assert_allclose(seen.latents["state"]["sum"][row, t], total, rtol=1e-4, atol=1e-6)
      if t < 4:
        total, guess = next_by_hand(total, frame, steps.action[row, t + 1])
        np.testing.assert_allclose(seen.predicted[row, t + 1], guess, rtol=1e-4, atol=1e-5)
        total = total * ~steps.is_first[row, t + 1]
  for t in range(5):
    shown = {name: value[:, t] for name, value in steps.observation.items()}
    latent = step(latent, steps.action[:, t], shown, steps.is_first[:, t] | (t == 0), key)
    for found, expected in zip(jax.tree.leaves(latent), jax.tree.leaves(seen.latents), strict=True):
      np.testing.assert_allclose(found, expected[:, t], rtol=1e-5, atol=1e-6)


def test_it_predicts_images_from_its_own_frames(agent: Agent, params: dict):
  batch = tiny.batch(agent)
  predicted = jax.jit(agent.predict, static_argnums=2)(params, batch, 2, jax.random.key(1))
  assert agent.decoded == ("above", "beside") and set(predicted.observation) == {"above", "beside"}
  row = 3  # one episode from beginning to end
  frame, total = framed(batch.steps.observation, row, 0), np.zeros((16, 16, 4))
  for t in range(1, 5):
    total, guess = next_by_hand(total, frame, batch.steps.action[row, t])
    frame = framed(batch.steps.observation, row, 1) if t == 1 else guess
    image = frame[1:15, 1:14]
    np.testing.assert_allclose(predicted.observation["above"][row, t], image[..., :3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predicted.observation["beside"][row, t], image[..., 3:], rtol=1e-4, atol=1e-5)
  assert predicted.reward.shape == (4, 5)


def test_an_update_trains_the_predictor_by_its_frames_alone(agent: Agent):
  state, batch, key = agent.init(jax.random.key(0)), tiny.batch(agent), jax.random.key(1)
  update = jax.jit(agent.update)
  new, latents, metrics = update(state, batch, key)
  assert latents == {} and agent.latent_spec == {}
  assert float(metrics["video/steps_ahead"]) == 1 and float(metrics["loss/frame"]) > 0
  assert new["params"]["world_model"]["predictor"]["push"] != PUSH
  assert float(update(new, batch, key)[2]["video/steps_ahead"]) == 2
  # Frames that the predictor gets right leave it alone, whatever the reward is.
  still = {name: np.zeros_like(value) for name, value in batch.steps.observation.items()}
  steps = batch.steps._replace(observation=still, action=np.zeros_like(batch.steps.action))
  new, _, metrics = update(state, Batch(steps, {}), key)
  assert new["params"]["world_model"]["predictor"]["push"] == state["params"]["world_model"]["predictor"]["push"]
  assert metrics["loss/reward"] > 0 and metrics["gradient_norm"] > 0


def test_it_dreams_and_is_looked_into(agent: Agent, params: dict):
  carry, seen, key = agent.initial_carry(2), tiny.observation(SPEC, 2), jax.random.key(1)
  action, carry, stored = agent.act(params, carry, seen, np.ones(2, bool), key, explore=True)
  assert stored == {}
  there = agent.expect(params, agent.imagine(params, carry, key))
  expected = seen["above"] / 255 + PUSH * action[:, 0, None, None, None]
  np.testing.assert_allclose(there.observation["above"], expected, rtol=1e-4, atol=1e-5)
  world, _ = agent.modules(params)
  alone = world.glance(world.encode(seen, key), key)
  np.testing.assert_allclose(alone, world.features(carry["latent"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("shown", "message"),
  [
    ({"position": ArraySpec((3,))}, "VideoModel predicts images, and the environment shows position: add an image"),
    (
      {"image": ArraySpec((64, 64, 3), "uint8"), "position": ArraySpec((3,))},
      "predicts images alone, and observation 'position' is a vector: leave it out",
    ),
    ({"image": ArraySpec((64, 31, 3), "uint8")}, "image size 64x31: Oh divides the sides by 16 and needs 32 pixels"),
  ],
)
def test_environments_that_it_cannot_predict_are_refused_by_name(shown: dict, message: str):
  with pytest.raises(ValueError, match=message):
    Agent(build("oh").agent, EnvSpec(shown, ActionSpec(2)))


def test_figures_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match="discount=2 must lie between 0 and 1"):
    VideoModel(discount=2)
  with pytest.raises(ValueError, match="reward_scale=-1 must be at least 0"):
    dataclasses.replace(MODEL, reward_scale=-1)


def test_sequences_never_carry_stored_latents(agent: Agent, params: dict):
  batch = tiny.batch(agent)
  assert batch.context == {}
  found, again = (
    agent.predict(params, Batch(batch.steps, context), 2, jax.random.key(0)) for context in ({}, batch.context)
  )
  jax.tree.map(np.testing.assert_array_equal, found, again)
