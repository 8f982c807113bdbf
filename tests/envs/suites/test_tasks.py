"""Several tasks of one body: what they share, which one an episode has, and that their rewards are the suite's."""

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, make
from dreamerax.envs.suites import tasks
from dreamerax.types import TASK, TASK_REWARDS
from tests.contracts.environment import EnvironmentContract

VECTORS = ("orientations", "height", "velocity")


class TestWalker(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tasks/walker", action_repeat=2, observations=VECTORS), seed)


def walker(task, repeat=4, **settings):
  return make(EnvConfig(task, action_repeat=repeat, observations=VECTORS, **settings), 0, checked=False)


def test_steps_and_rewards_are_those_of_the_suite_for_every_task():
  """The end of the episode cuts the repeats of its last action short, and all rewards with them."""
  index = 2
  task = tasks.BODIES["walker"][index]
  ours = walker(f"tasks/walker_{task}", repeat=300)
  suites = [walker(f"dmc/walker_{each}", repeat=300) for each in tasks.BODIES["walker"]]
  shown, expected = ours.reset(5), [env.reset(5) for env in suites]
  assert not shown.observation[TASK_REWARDS].any()
  rng = np.random.default_rng(0)
  for step in range(4):
    action = rng.uniform(-1, 1, 6).astype(np.float32)
    shown, expected = ours.step(action), [env.step(action) for env in suites]
    for name in VECTORS:
      np.testing.assert_array_equal(shown.observation[name], expected[0].observation[name])
    np.testing.assert_allclose(shown.observation[TASK_REWARDS], [each.reward for each in expected], rtol=1e-6)
    assert shown.reward == expected[index].reward and shown.is_last == expected[index].is_last == (step == 3)
    np.testing.assert_array_equal(shown.observation[TASK], np.eye(3)[index])
  assert not shown.is_terminal


def test_the_return_of_an_episode_is_logged_by_its_task():
  env = walker("tasks/walker_run", repeat=250)
  env.reset(3)
  steps = [env.step(np.ones(6, np.float32)) for _ in range(4)]
  assert steps[-1].is_last and [dict(step.log) for step in steps[:-1]] == [{}] * 3
  assert dict(steps[-1].log) == {"run": pytest.approx(sum(step.reward for step in steps), rel=1e-5)}


def test_each_episode_draws_its_task_and_the_world_model_sees_none_of_it():
  env = walker("tasks/walker")
  drawn = [env.reset(seed).observation[TASK] for seed in range(30)]
  assert set(np.argmax(drawn, 1)) == {0, 1, 2} and (np.sum(drawn, 1) == 1).all()
  np.testing.assert_array_equal(env.reset(7).observation[TASK], drawn[7])
  before, after = env.step(np.zeros(6, np.float32)), env.step(np.zeros(6, np.float32))
  np.testing.assert_array_equal(before.observation[TASK], after.observation[TASK])
  assert tuple(env.spec.visible) == VECTORS
  assert set(env.spec.observation) == {*VECTORS, TASK, TASK_REWARDS}


def test_all_bodies_can_be_made_and_wrong_names_get_the_nearest():
  for name in ("tasks/hopper", "tasks/humanoid_run"):
    env = make(EnvConfig(name, observations=("velocity",)), 0, checked=False)
    assert env.reset().observation[TASK_REWARDS].shape == (2 if "hopper" in name else 3,)
  with pytest.raises(ValueError, match=r"task='tasks/walker_jump' is no body.*Did you mean .*tasks/walker"):
    tasks.check("tasks/walker_jump")
  with pytest.raises(ValueError, match=r"tasks/walker has no observation 'pose': it has .*height") as error:
    make(EnvConfig("tasks/walker", observations=("pose",)), 0)
  assert "log/" not in str(error.value)
