"""What a dream shows, and that nothing disturbs it."""

from functools import partial

import jax
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.ops.transforms import symexp
from dreamerax.types import Batch, Transition
from dreamerax.viewer.dreams import Dreamer, Frame
from tests import small_presets
from tests.viewer.toys import dreamer, parameters, steps

KEY = jax.random.key(0)


def same(one: Frame, other: Frame) -> bool:
  return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def as_batch(agent: Agent, recorded: Transition) -> Batch:
  """Steps [T, ...] as a sequence that begins there: [1, T, ...]."""
  first = recorded._replace(is_first=np.arange(len(recorded.reward)) == 0)
  context = {name: np.zeros((1, *spec.shape), spec.dtype) for name, spec in agent.latent_spec.items()}
  return Batch(jax.tree.map(lambda x: x[None], first), context)


def test_a_dream_begins_where_observing_the_sequence_ends():
  agent = dreamer().agent
  recorded = steps(agent.spec)
  world, _ = agent.modules(parameters(agent))
  seen = jax.jit(world.observe)(as_batch(agent, recorded), KEY).latents
  dream, _ = dreamer().begin(recorded, KEY)
  for name, latent in dream.carry["latent"].items():
    np.testing.assert_allclose(latent, seen[name][:, -1], atol=1e-5)


def test_a_dream_of_the_recorded_actions_is_the_open_loop_prediction():
  agent = dreamer().agent
  recorded = steps(agent.spec, length=6)
  dream, frame = dreamer().begin(jax.tree.map(lambda x: x[:3], recorded), KEY)
  pictures = [frame.pictures["image"]]
  for action in recorded.action[3:]:
    dream, frame = dreamer().step(dream, action)
    pictures.append(frame.pictures["image"])
  open_loop = jax.jit(agent.open_loop, static_argnums=2)(parameters(agent), as_batch(agent, recorded), 3, KEY)["image"]
  expected = np.clip(np.asarray(open_loop[0, 2:]), 0, 1) * 255
  np.testing.assert_allclose(np.stack(pictures), expected, atol=1)
  assert np.ptp(expected, 0).max() > 10  # it moves
  assert frame.step == 3


def test_a_step_leaves_the_dream_as_it_was():
  dream, _ = dreamer().begin(steps(dreamer().agent.spec), KEY)
  left = dreamer().step(dream, np.array([-1.0, 0.5]))[1]
  right = dreamer().step(dream, np.array([1.0, 0.5]))[1]
  assert same(dreamer().step(dream, np.array([-1.0, 0.5]))[1], left)
  assert not np.array_equal(left.pictures["image"], right.pictures["image"]) and left.reward != right.reward
  far = dreamer().step(dream, np.array([-7.0, 0.5]))[1]
  np.testing.assert_array_equal(far.action, np.float32([-1.0, 0.5]))


def test_the_autopilot_takes_the_actors_mode():
  agent = dreamer().agent
  dream, frame = dreamer().begin(steps(agent.spec, length=1), KEY)
  row = jax.tree.map(lambda x: x[:1], steps(agent.spec, length=1))._replace(is_first=np.ones(1, bool))
  act = jax.jit(partial(agent.act, explore=False))
  expected, _, _ = act(parameters(agent), agent.initial_carry(1), row.observation, row.is_first, KEY)
  dream, frame = dreamer().step(dream, None)
  np.testing.assert_allclose(frame.action, expected[0], atol=1e-6)
  assert np.abs(frame.action).max() > 1e-3
  assert frame.value is not None and frame.continues is not None and 0 <= frame.continues <= 1


def test_choices_and_vectors():
  spec = dreamer("CHOICES").agent.spec
  dream, frame = dreamer("CHOICES").begin(steps(spec), KEY)
  assert not frame.pictures and {name: x.shape for name, x in frame.vectors.items()} == {
    "position": (3,),
    "velocity": (2,),
  }
  world, _ = dreamer("CHOICES").agent.modules(parameters(dreamer("CHOICES").agent))
  decoder, latent = world.objectives["reconstruction"].decoder, dream.carry["latent"]
  decoded = decoder(latent["deter"], latent["stoch"])
  for name, vector in frame.vectors.items():  # in the environment's own units
    np.testing.assert_allclose(vector, symexp(decoded[name][0]), rtol=1e-4)
  frames = [dreamer("CHOICES").step(dream, choice)[1] for choice in np.eye(3)]
  assert len({frame.reward for frame in frames}) == 3
  piloted = dreamer("CHOICES").step(dream, None)[1].action
  assert piloted is not None and sorted(piloted.tolist()) == [0, 0, 1]
  for action, why in (
    ([0.5, 0.5, 0], "1 for one of 3 choices"),
    ([1, 0], "3 finite numbers"),
    ([1, 0, np.nan], "finite"),
  ):
    with pytest.raises(ValueError, match=why):
      dreamer("CHOICES").step(dream, np.array(action))


def test_several_choices_at_once():
  spec = dreamer("LEVERS").agent.spec
  dream, _ = dreamer("LEVERS").begin(steps(spec), KEY)
  frames = [dreamer("LEVERS").step(dream, np.array(action))[1] for action in ([0, 1, 0, 1, 0], [0, 1, 0, 0, 1])]
  assert len({frame.reward for frame in frames}) == 2
  piloted = dreamer("LEVERS").step(dream, None)[1].action
  assert piloted is not None and spec.action.is_one_hot(piloted)
  with pytest.raises(ValueError, match="1 for one of 3 and 2 choices"):
    dreamer("LEVERS").step(dream, np.array([0, 1, 1, 0, 0]))


def test_a_planner_is_an_autopilot_without_values():
  agent = small_presets.small("planet")
  planet = Dreamer(agent, parameters(agent))
  dream, frame = planet.begin(steps(agent.spec), KEY)
  dream, frame = planet.step(dream, None)
  assert frame.value is None and frame.continues is None and np.isfinite(frame.reward)
  assert (dream.carry["memory"]["age"], planet.step(dream, np.zeros(2))[0].carry["memory"]["age"]) == (1, 0)
