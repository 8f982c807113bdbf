import numpy as np
import pytest

from dreamerax.envs import EnvConfig, make, make_batch
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.envs.wrappers import ActionRepeat
from tests.contracts.environment import EnvironmentContract
from tests.envs import toys


class TestOwnEnvironment(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tests.envs.toys:counter", action_repeat=2), seed)


class TestDmEnv(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tests.envs.toys:corridor"), seed)


class TestDmEnvWithRandomState(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tests.envs.toys:dice"), seed)


class TestOwnRandomEnvironment(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tests.envs.toys:wander"), seed)


class TestGymEnv(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tests.envs.toys:gallery"), seed)


@pytest.mark.parametrize(("discount", "terminal"), [(1.0, False), (0.5, False), (0.0, True)])
def test_only_discount_zero_is_terminal(discount, terminal):
  env = DmEnv(toys.Corridor(discount), name="corridor")
  env.reset()
  steps = [env.step(np.zeros(2)) for _ in range(3)]
  assert [step.is_last for step in steps] == [False, False, True]
  assert [step.is_terminal for step in steps] == [False, False, terminal]


def test_dm_env_actions_are_stretched_to_their_bounds_and_clipped():
  native = toys.Corridor()
  env = DmEnv(native, name="corridor")
  env.reset()
  env.step(np.array([-5.0, 0.5]))
  np.testing.assert_array_equal(native.actions[0], [0, 1])


def test_action_repeat_sums_rewards_and_stops_at_the_end():
  inner = toys.Counter(length=5)
  env = ActionRepeat(inner, 3)
  env.reset()
  steps = [env.step(np.array([0.5, 0.0])) for _ in range(2)]
  assert [step.reward for step in steps] == [1.5, 1.0]
  assert [step.is_last for step in steps] == [False, True]
  assert len(inner.actions) == 5


def test_replaying_past_the_end_is_refused():
  with pytest.raises(RuntimeError, match="seed 3 ended after 4 of 5 actions"):
    toys.Counter(length=4).replay(3, np.zeros((5, 2), np.float32))


@pytest.mark.parametrize(
  ("task", "message"),
  [
    ("no_such_module:factory", "cannot import 'no_such_module'"),
    ("tests.envs.toys:absent", "no function 'absent'"),
    ("tests.envs.toys:two_arguments", "needs width, height"),
    ("json:dumps", "returned str"),
  ],
)
def test_a_wrong_factory_is_refused_by_name(task, message):
  with pytest.raises(ValueError, match=message):
    make(EnvConfig(task), 0)


def test_a_users_environment_is_checked_before_a_run():
  with pytest.raises(ValueError, match=r"tests.envs.toys:liar.*'clock' is float32 \[2\]; its spec says float32 \[3\]"):
    make_batch(EnvConfig("tests.envs.toys:liar"), num_envs=2, seed=0)
