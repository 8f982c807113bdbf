import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from dreamerax.envs import EnvConfig, make
from dreamerax.envs.suites.gymnasium import GymEnv
from dreamerax.types import ActionSpec, ArraySpec
from tests.contracts.environment import EnvironmentContract
from tests.envs.toys import Gallery, Levers, levers


class TestDiscrete(EnvironmentContract):
  steps = 60  # a random CartPole falls several times

  def make(self, seed):
    return make(EnvConfig("gym/CartPole-v1"), seed)


class TestContinuous(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("gym/Pendulum-v1", action_repeat=3), seed)


class TestDict(EnvironmentContract):
  def make(self, seed):
    return GymEnv(Gallery(), name="gallery", seed=seed)


class TestSeveralChoices(EnvironmentContract):
  def make(self, seed):
    return GymEnv(levers(), name="levers", seed=seed)


@pytest.mark.parametrize(
  ("space", "groups", "chosen", "native"),
  [
    (spaces.MultiDiscrete([3, 2]), (3, 2), [2, 1], [2, 1]),
    (spaces.MultiDiscrete([[3, 2], [1, 4]], start=[[5, 0], [0, -1]]), (3, 2, 1, 4), [2, 1, 0, 3], [[7, 1], [0, 2]]),
    (spaces.MultiBinary(3), (2, 2, 2), [1, 0, 1], [1, 0, 1]),
    (spaces.MultiBinary([2, 2]), (2, 2, 2, 2), [1, 0, 0, 1], [[1, 0], [0, 1]]),
  ],
  ids=["multi-discrete", "matrix with starts", "multi-binary", "matrix of bits"],
)
def test_several_choices_at_once_are_groups(space, groups, chosen, native):
  class Heard(Levers):
    def step(self, action):
      self.action = action
      return super().step(action)

  heard = Heard(space)
  env = GymEnv(heard, name="levers", seed=0)
  assert env.spec.action == ActionSpec(sum(groups), discrete=True, groups=groups)
  env.reset()
  env.step(np.concatenate([np.eye(n, dtype=np.float32)[i] for n, i in zip(groups, chosen, strict=True)]))
  np.testing.assert_array_equal(heard.action, native)
  assert heard.action.dtype == space.dtype


def test_nested_observations_images_and_one_hot_choices():
  native = Gallery()
  env = GymEnv(native, name="gallery", seed=0)
  assert env.spec.observation == {
    "grey": ArraySpec((4, 5, 1), "uint8"),
    "camera": ArraySpec((6, 4, 3), "uint8"),
    "body/angles": ArraySpec((4,)),
    "body/gear": ArraySpec((3,)),
  }
  assert env.spec.action == ActionSpec(4, discrete=True)
  observation = env.reset().observation
  assert observation["body/gear"].sum() == 1 and observation["camera"].std() > 0
  env.step(np.array([0, 0, 1, 0], np.float32))
  assert native.actions == [5]  # choices are numbered from 3


@pytest.mark.parametrize("ends_by", ["terminated", "truncated"])
def test_termination_and_truncation_are_kept_apart(ends_by):
  env = GymEnv(Gallery(ends_by), name="gallery", seed=0)
  env.reset()
  steps = [env.step(np.eye(4, dtype=np.float32)[0]) for _ in range(3)]
  assert [step.is_last for step in steps] == [False, False, True]
  assert steps[-1].is_terminal == (ends_by == "terminated")


def test_actions_are_stretched_to_the_box_and_clipped():
  env = make(EnvConfig("gym/Pendulum-v1"), 0)
  inner = gymnasium.make("Pendulum-v1", disable_env_checker=True)
  env.reset()
  inner.reset(seed=0)
  expected, *_ = inner.step(np.array([2.0], np.float32))
  np.testing.assert_array_equal(env.step(np.array([7.0])).observation["vector"], expected)


def test_an_unknown_id_names_the_nearest():
  with pytest.raises(ValueError, match="gym/CartPole-v1"):
    make(EnvConfig("gym/CartPol-v1"), 0)


def test_actions_of_another_kind_are_refused():
  env = Gallery()
  env.action_space = gymnasium.spaces.Text(3)  # pyright: ignore
  with pytest.raises(ValueError, match="Discrete, MultiDiscrete or MultiBinary space, not Text"):
    GymEnv(env, name="gallery", seed=0)
