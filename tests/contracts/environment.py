"""What every environment promises, as tests to inherit: a subclass says how to make one."""

import abc

import numpy as np
import pytest

from dreamerax.envs import Environment, check_env
from dreamerax.envs.check import random_action


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
      env.step(random_action(env.spec.action, np.random.default_rng(0)))

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
      steps.append(env.step(random_action(env.spec.action, rng)))
      if steps[-1].is_last:
        break
    return steps
