"""Bodies that are to take the pose of an image: what they show, when they succeed, and how often chance and controllers do."""

from typing import Any

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, Environment, make
from dreamerax.envs.suites import goal_task
from dreamerax.envs.suites.goal import TASKS
from experiments import goal_baselines
from tests.contracts.environment import EnvironmentContract


class TestReacher(EnvironmentContract):
  steps = 6  # an episode ends on the way

  def make(self, seed):
    return make(EnvConfig("goal/reacher", action_repeat=40, image_size=16, rendering="fast"), seed)


class TestWalkerFromVectors(EnvironmentContract):
  def make(self, seed):
    observations = ("orientations", "height", "velocity")
    return make(EnvConfig("goal/walker", action_repeat=4, observations=observations), seed)


def simulation_of(env: Environment) -> Any:
  """What it adapts, whose state an agent does not see."""
  return vars(env)["_env"]


@pytest.mark.parametrize("task", TASKS)
def test_the_goal_is_the_image_seen_where_it_is_reached(task):
  scene = TASKS[task]
  env = make(EnvConfig(task, action_repeat=scene.steps, image_size=32, rendering="fast"), 0, checked=False)
  shown = env.reset(3).observation
  assert list(env.spec.visible) == ["image"] and (shown["image"] != shown["goal/image"]).any()
  simulation = simulation_of(env)
  physics, aim = simulation.physics, simulation.task.goal
  state = aim.get_state()
  with physics.reset_context():
    physics.set_state(state)
  assert simulation.task.distance(physics) == 0
  np.testing.assert_array_equal(env.render(), shown["goal/image"])
  env.close()


def test_an_episode_that_ends_within_reach_is_worth_one_and_one_that_does_not_nothing():
  env = make(EnvConfig("goal/reacher", action_repeat=50, observations=("position",)), 0, checked=False)
  simulation = simulation_of(env)
  task, physics = simulation.task, simulation.physics
  for away, worth in ((0.0, 1), (1.5, 0)):
    shown = env.reset(1).observation
    np.testing.assert_array_equal(shown["goal/position"], np.float32(task.goal.position()))
    steps = [env.step(np.zeros(2)) for _ in range(3)]
    with physics.reset_context():
      physics.data.qpos[:] = task.goal.data.qpos + np.array([away, 0])
    steps.append(env.step(np.zeros(2)))
    assert [step.reward for step in steps] == [0, 0, 0, worth]
    assert [step.is_last for step in steps] == [False, False, False, True] and not steps[-1].is_terminal
    distance = steps[-1].log["distance"]
    assert (distance <= 0.05) == bool(worth) and distance == task.distance(physics)
    assert not steps[0].log  # no NaN, which equals nothing and would count as not repeatable


def test_a_walkers_goal_is_a_pose_at_rest_whose_legs_may_change_places():
  simulation = goal_task.simulate(TASKS["goal/walker"], 0)
  simulation.reset()
  physics, aim = simulation.physics, simulation.task.goal
  assert aim.named.data.qpos["rootx"] == 0 and not aim.data.qvel.any() and aim.torso_height() < 1.3
  swapped = aim.data.qpos.copy()
  swapped[3:6], swapped[6:9] = aim.data.qpos[6:9], aim.data.qpos[3:6]
  physics.data.qpos[:] = swapped
  physics.named.data.qpos["rooty"] += 4 * np.pi + 0.3
  assert simulation.task.distance(physics) == pytest.approx(0.3)


@pytest.mark.parametrize(
  ("task", "name", "least", "most"),
  [("goal/reacher", "random", 0, 0.15), ("goal/reacher", "controller", 1, 1), ("goal/point_mass", "controller", 1, 1)],
)
def test_chance_seldom_succeeds_and_a_controller_that_knows_the_true_state_always(task, name, least, most):
  returns, distances = goal_baselines.run(task, goal_baselines.controllers(task)[name], 20, 4, 0)
  assert least <= returns.mean() <= most and (distances <= 0.05).mean() == returns.mean()


def test_vectors_of_the_goal_are_hidden_and_unknown_ones_refused():
  env = make(EnvConfig("goal/point_mass", observations=("position", "velocity")), 0)
  assert set(env.spec.observation) == {"position", "velocity", "goal/position", "goal/velocity"}
  assert set(env.spec.visible) == {"position", "velocity"}
  known = make(EnvConfig("goal/point_mass", observations=("position", "true/position", "true/velocity")), 0)
  assert set(known.spec.observation) == {"position", "true/position", "true/velocity", "goal/position", "goal/velocity"}
  assert set(known.spec.visible) == {"position"}
  shown = known.reset().observation
  np.testing.assert_array_equal(shown["true/position"], shown["position"])
  with pytest.raises(ValueError, match="goal/point_mass has no observation 'to_target'"):
    make(EnvConfig("goal/point_mass", observations=("to_target",)), 0)


@pytest.mark.parametrize("task", ["table/reach", "dmc/cartpole_balance", "tasks/walker"])
def test_closing_frees_what_draws_and_leaves_it_to_no_other_thread(task, monkeypatch):
  from dm_control._render.base import ContextBase

  freed = []
  monkeypatch.setattr(ContextBase, "free", lambda self, free=ContextBase.free: freed.append(free(self)))
  env = make(EnvConfig(task=task, image_size=16), 0)
  env.reset()
  env.close()
  env.close()  # once more does nothing
  assert freed
