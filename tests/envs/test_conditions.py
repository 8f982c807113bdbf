"""Episodes that begin in one of a few first states."""

import dataclasses

import numpy as np
import pytest

from dreamerax import presets
from dreamerax.envs import EnvConfig, make, make_batch
from dreamerax.types import CONDITION, ArraySpec

CONFIG = EnvConfig("e2c/planar", observations=("image", "true/state"), conditions=2)


def test_every_environment_has_one_first_state_and_shows_which():
  envs = make_batch(CONFIG, 4, seed=5)
  assert envs.spec.observation[CONDITION] == ArraySpec((2,)) and CONDITION not in envs.spec.visible
  first = envs.reset()
  np.testing.assert_array_equal(first.observation[CONDITION], np.eye(2)[[0, 1, 0, 1]])
  for _ in range(41):  # to the first row of the next episode
    row = envs.step(np.full((4, 2), 0.5, np.float32))
  assert row.is_first.all()
  for name, value in first.observation.items():
    np.testing.assert_array_equal(row.observation[name], value)
  state = first.observation["true/state"]
  np.testing.assert_array_equal(state[:2], state[2:])
  assert (state[0] != state[1]).any()
  other = make_batch(CONFIG, 2, seed=6).reset()
  np.testing.assert_array_equal(other.observation["true/state"], state[:2])


def test_an_environment_alone_is_of_the_condition_of_its_seed_and_repeats_episodes():
  env, actions = make(CONFIG, 3), np.full((4, 2), 0.5, np.float32)
  steps = [env.reset(11), *[env.step(action) for action in actions]]
  again = make(CONFIG, 1).replay(12, actions)
  for name, value in steps[-1].observation.items():
    np.testing.assert_array_equal(again.observation[name], value)
  np.testing.assert_array_equal(again.observation[CONDITION], [0, 1])


def test_what_has_no_conditions_is_refused():
  with pytest.raises(ValueError, match=r"conditions=-1: it must be at least 0"):
    EnvConfig(conditions=-1)
  with pytest.raises(
    ValueError,
    match=r"conditions=2: environments of task='vector:tests.envs.vectors:walks' begin their episodes together",
  ):
    make(EnvConfig("vector:tests.envs.vectors:walks", conditions=2), 0)
  run = presets.build("quick")
  with pytest.raises(ValueError, match=r"conditions=3 do not come evenly from num_envs=4 .* give --num-envs 6"):
    dataclasses.replace(run, env=dataclasses.replace(CONFIG, conditions=3))
