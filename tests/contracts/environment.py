"""What every environment promises, as tests to inherit: a subclass says how to make one."""

import abc
from collections.abc import Sequence

import numpy as np
import pytest

from dreamerax.envs import Environment, Step, check_env
from dreamerax.envs.suites.actions import random_actions


def assert_equal_steps(one: Sequence[Step], other: Sequence[Step]) -> None:
  """To the bit."""
  for index, (a, b) in enumerate(zip(one, other, strict=True)):
    assert a[1:] == b[1:], index
    for key, value in a.observation.items():
      assert value.tobytes() == b.observation[key].tobytes(), (index, key)


class EnvironmentContract(abc.ABC):
  """Name a subclass `Test...`. `steps` are as many as may be taken cheaply."""

  steps = 5

  @abc.abstractmethod
  def make(self, seed: int) -> Environment: ...

  @pytest.fixture
  def env(self):
    env = self.make(0)
    yield env
    env.close()

  def test_keeps_its_spec_and_repeats_by_seed(self, env):
    check_env(env, factory=self.make, steps=self.steps)

  def test_other_seeds_are_other_episodes(self):
    first, second = self.make(1), self.make(2)
    rows = [[env.reset(), *self._steps(env)] for env in (first, second)]
    assert any(
      not np.array_equal(one.observation[key], other.observation[key])
      for one, other in zip(*rows, strict=True)
      for key in one.observation
    )

  def test_an_episode_follows_from_its_seed_whatever_was_before(self, env):
    env.reset()
    self._steps(env)
    env.reset(3)
    self._steps(env)
    old = [env.reset(7), *self._steps(env)]
    fresh = self.make(0)
    assert_equal_steps(old, [fresh.reset(7), *self._steps(fresh)])
    fresh.close()

  def test_a_replayed_episode_goes_on_as_the_one_that_was_stepped(self, env):
    steps = [env.reset(7), *self._steps(env)]
    rng = np.random.default_rng(0)
    actions = random_actions(env.spec.action, rng, len(steps) - 1)
    env.reset(3)
    twin = self.make(0)
    for one in (env, twin):
      assert_equal_steps([one.replay(7, actions[:0])], steps[:1])
      middle = len(actions) // 2
      assert_equal_steps([one.replay(7, actions[:middle])], [steps[middle]])
      assert_equal_steps([one.step(action) for action in actions[middle:]], steps[middle + 1 :])
      assert_equal_steps([one.replay(7, actions)], steps[-1:])
    twin.close()

  def test_returned_arrays_are_not_written_again(self, env):
    step = env.reset()
    before = {key: value.copy() for key, value in step.observation.items()}
    self._steps(env)
    for key, value in before.items():
      np.testing.assert_array_equal(step.observation[key], value)

  def test_reset_may_interrupt_an_episode(self, env):
    env.reset()
    self._steps(env)
    assert env.reset().is_first

  def test_stepping_before_reset_is_refused(self, env):
    with pytest.raises(RuntimeError, match="reset"):
      env.step(random_actions(env.spec.action, np.random.default_rng(0), 1)[0])

  def test_an_action_that_is_not_finite_is_refused(self, env):
    env.reset()
    with pytest.raises(ValueError, match="not finite"):
      env.step(np.full(env.spec.action.size, np.nan, np.float32))

  def test_an_action_of_another_shape_is_refused(self, env):
    env.reset()
    with pytest.raises(ValueError, match="shape"):
      env.step(np.zeros(env.spec.action.size + 1, np.float32))

  def _steps(self, env: Environment) -> list:
    rng = np.random.default_rng(0)
    steps = []
    for _ in range(self.steps):
      steps.append(env.step(random_actions(env.spec.action, rng, 1)[0]))
      if steps[-1].is_last:
        break
    return steps
