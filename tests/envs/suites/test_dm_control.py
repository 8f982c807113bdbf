"""The DeepMind Control Suite: real tasks, few frames."""

from typing import Any

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, Environment, make, task_names
from dreamerax.envs.suites import rendering
from dreamerax.envs.suites.actions import random_actions
from dreamerax.envs.suites.dm_env import DmEnv
from tests.contracts.environment import EnvironmentContract


def cartpole(seed: int, **fields) -> Environment:
  return make(EnvConfig("dmc/cartpole_balance", **fields), seed)


class TestCartpole(EnvironmentContract):
  steps = 3

  def make(self, seed):
    return cartpole(seed, action_repeat=4, rendering="balanced", image_size=32)


class TestVectorsOnly(EnvironmentContract):
  def make(self, seed):
    return cartpole(seed, observations=("position", "velocity"))


# Those that change their model when an episode begins, or settle it, or draw their model when they are made.
@pytest.mark.parametrize("task", ["cheetah_run", "manipulator_insert_ball", "lqr_lqr_2_1", "fish_swim"])
def test_physics_follows_from_the_seed_whatever_was_before(suite, task):
  def make() -> tuple[Any, DmEnv]:
    native = suite.load(*task.split("_", 1), task_kwargs={"random": 3})
    return native.physics, DmEnv(native, name=task)

  def play(physics, env, seed) -> list[bytes]:
    rng = np.random.default_rng(seed)
    states = [env.reset(seed) and physics.get_state().tobytes()]
    for _ in range(5):
      env.step(rng.uniform(-1, 1, env.spec.action.size))
      states += [physics.get_state().tobytes(), physics.data.xpos.tobytes(), physics.data.qacc.tobytes()]
    return states

  physics, env = make()
  other = play(physics, env, 1)
  assert play(physics, env, 2) == play(*make(), 2) != other


@pytest.fixture
def suite():
  rendering.choose()
  from dm_control import suite

  return suite


@pytest.mark.parametrize(("task", "camera"), [("walker_walk", 0), ("quadruped_walk", 2)])
def test_published_pixels_are_dm_controls_own(suite, task, camera):
  ours = make(EnvConfig(f"dmc/{task}"), seed=3)
  theirs = suite.load(*task.split("_"), task_kwargs={"random": 3})
  step, _ = ours.reset(), theirs.reset()
  np.testing.assert_array_equal(step.observation["image"], theirs.physics.render(64, 64, camera_id=camera))
  bounds = theirs.action_spec()  # not [-1, 1] everywhere: quadruped's legs reach further
  step, timestep = ours.step(np.ones(bounds.shape)), theirs.step(bounds.maximum)
  np.testing.assert_array_equal(step.observation["image"], theirs.physics.render(64, 64, camera_id=camera))
  assert step.reward == timestep.reward


def test_each_camera_of_the_model_draws_the_observation_by_its_name(suite):
  names = ("image/back", "image", "true/image/side")
  step = make(EnvConfig("dmc/walker_walk", observations=names), seed=3).reset()
  theirs = suite.load("walker", "walk", task_kwargs={"random": 3})
  theirs.reset()
  for name, camera in zip(names, ("back", 0, "side"), strict=True):
    np.testing.assert_array_equal(step.observation[name], theirs.physics.render(64, 64, camera_id=camera), name)
  assert (step.observation["image"] != step.observation["image/back"]).any()


@pytest.mark.parametrize("task", ["dmc/walker_walk", "tasks/walker", "goal/walker"])
def test_a_camera_that_the_model_lacks_is_refused_with_those_that_it_has(task):
  with pytest.raises(ValueError, match=r"observations='image/top': .* but image, image/side, image/back"):
    make(EnvConfig(task, observations=("image", "image/top")), seed=3)


@pytest.mark.parametrize("task", ["dmc/walker_walk", "dmc/finger_spin", "dmc/quadruped_walk"])
def test_at_most_two_in_a_thousand_balanced_pixels_differ(task):
  envs = [make(EnvConfig(task, rendering=kind), 0) for kind in ("published", "balanced")]
  for env in envs:
    env.reset()
  rng, shares = np.random.default_rng(0), []
  for _ in range(30):
    action = random_actions(envs[0].spec.action, rng, 1)[0]
    published, balanced = (env.step(action).observation["image"] for env in envs)
    shares.append((published != balanced).any(-1).mean())
  assert 0 < np.mean(shares) <= 0.002


def test_fast_pixels_show_the_same_scene_without_its_shadows():
  images = [make(EnvConfig("dmc/walker_walk", rendering=kind), 0).reset() for kind in ("published", "fast")]
  published, fast = (step.observation["image"].astype(int) for step in images)
  assert (published != fast).any(-1).mean() > 0.2  # the floor is lit where the shadow was
  assert abs(published - fast).mean() < 10


def test_coarse_pixels_keep_the_shadows_that_fast_ones_lack():
  kinds = ("published", "coarse", "fast")
  images = [make(EnvConfig("dmc/reacher_easy", rendering=kind), 0).reset() for kind in kinds]
  published, coarse, fast = (step.observation["image"].astype(int) for step in images)
  assert 0 < abs(published - coarse).mean() < 4 < abs(published - fast).mean()  # the whole table lies in a shadow


def test_only_frames_that_are_returned_are_rendered(suite):
  taken = []
  camera = (cartpole(0).spec.observation["image"], lambda: taken.append(1) or np.zeros((64, 64, 3), np.uint8))
  env = DmEnv(
    suite.load("cartpole", "balance"), name="c", cameras={"image": camera}, observations=("image",), action_repeat=8
  )
  env.reset()
  env.step(np.zeros(1))
  assert len(taken) == 2
  env.replay(0, np.zeros((20, 1), np.float32))
  assert len(taken) == 3


def test_rewards_are_summed_over_the_action_repeat():
  single, repeated = (cartpole(0, observations=("position",), action_repeat=repeat) for repeat in (1, 4))
  single.reset(), repeated.reset()
  action = np.array([0.7])
  rewards = [single.step(action).reward for _ in range(4)]
  assert repeated.step(action).reward == pytest.approx(sum(rewards))


@pytest.mark.parametrize(("repeat", "steps"), [(8, 125), (300, 4)])
def test_the_time_limit_ends_an_episode_without_terminating_it(repeat, steps):
  env = cartpole(0, observations=("velocity",), action_repeat=repeat)
  env.reset()
  record = [env.step(np.zeros(1)) for _ in range(steps)]
  assert [step.is_last for step in record] == [False] * (steps - 1) + [True]
  assert not any(step.is_terminal or step.is_first for step in record)
  with pytest.raises(RuntimeError, match="reset"):
    env.step(np.zeros(1))


def test_every_task_can_be_named_and_the_papers_cup_catch_too():
  names = task_names()
  assert {"dmc/walker_walk", "dmc/humanoid_CMU_run", "dmc/ball_in_cup_catch"} <= set(names)
  ours = make(EnvConfig("dmc/cup_catch", observations=("position",)), 0).reset()
  suites = make(EnvConfig("dmc/ball_in_cup_catch", observations=("position",)), 0).reset()
  np.testing.assert_array_equal(ours.observation["position"], suites.observation["position"])


def test_pixels_and_vectors_together_in_any_size():
  env = make(EnvConfig("dmc/walker_walk", image_size=20, observations=("image", "height")), 0)
  observation = env.reset().observation
  assert observation["image"].shape == (20, 20, 3)
  assert observation["height"].shape == (1,) and observation["height"].dtype == np.float32


def test_pictures_may_be_larger_than_the_models_buffer():
  assert cartpole(0, image_size=500).reset().observation["image"].shape == (500, 500, 3)


def test_an_unknown_observation_is_refused_with_the_known_ones():
  with pytest.raises(ValueError, match="no observation 'pixels': it has position, velocity, image"):
    cartpole(0, observations=("pixels",))
