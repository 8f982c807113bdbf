"""The table: what it shows, how pushes end, what counts as contact, and what a push from the true state reaches."""

from typing import Any

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, make
from dreamerax.envs.suites import goal_task
from dreamerax.envs.suites.table import PUCK, SIDE, TASKS
from experiments import goal_baselines
from tests.contracts.environment import EnvironmentContract


class TestPushTwo(EnvironmentContract):
  steps = 6  # an episode ends on the way

  def make(self, seed):
    return make(EnvConfig("table/push_2", action_repeat=6, image_size=16, rendering="fast"), seed)


class TestReachFromVectors(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("table/reach", observations=("puck",)), seed)


def begun(task: str, seed: int = 0) -> tuple[Any, Any, Any]:
  """A simulation in which an episode has begun, its physics, and that of its goal."""
  simulation = goal_task.simulate(TASKS[task], seed)
  simulation.reset()
  return simulation, simulation.physics, simulation.task.goal


def test_images_vectors_pixels_and_contacts_are_shown_and_all_but_images_and_vectors_are_hidden():
  env = make(EnvConfig("table/push_3", observations=("image", "puck", "objects"), image_size=16, rendering="fast"), 0)
  shapes = {name: array.shape for name, array in env.spec.observation.items()}
  assert shapes["goal/pixels"] == (4,) and shapes["event/contact"] == (1,) and shapes["objects"] == (12,)
  assert list(env.spec.visible) == ["image", "puck", "objects"] and env.spec.action.size == 2
  assert {f"goal/{name}" for name in env.spec.visible} < set(shapes)
  env.close()
  assert "event/contact" not in make(EnvConfig("table/reach", observations=("puck",)), 0).spec.observation


@pytest.mark.parametrize("task", ["table/push", "table/push_3"])
def test_a_goal_is_one_object_pushed_and_the_others_left_alone(task):
  for seed in range(5):
    simulation, physics, aim = begun(task, seed)
    moved = np.linalg.norm(TASKS[task].places(physics) - TASKS[task].places(aim), axis=-1)
    assert 0.1 < moved.max() < 0.4 and (np.sort(moved)[:-1] < 0.01).all()
    assert simulation.task.distance(physics) == pytest.approx(moved.max())
    assert not aim.data.qvel.any()
    touching = np.linalg.norm(aim.data.qpos[:2] - TASKS[task].places(aim), axis=-1).min()
    assert touching < PUCK + 1.5 * SIDE  # the puck is where the push has ended


def test_nothing_overlaps_at_the_start():
  for seed in range(10):
    _, physics, _ = begun("table/push_3", seed)
    places = np.concatenate([physics.data.qpos[None, :2], TASKS["table/push_3"].places(physics)])
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(places) for b in places[:i]]
    assert min(gaps) > 3 * SIDE and not physics.data.ncon


def test_the_puck_moves_by_eight_centimetres_and_no_further_than_its_limits():
  simulation, physics, _ = begun("table/reach")
  with physics.reset_context():
    physics.data.qpos[:] = 0
  simulation.step(np.array([1.0, -0.5]))
  np.testing.assert_allclose(physics.data.qpos, [0.08, -0.04], atol=0.02)
  for _ in range(10):
    simulation.step(np.array([1.0, 0.0]))
  assert physics.data.qpos[0] == pytest.approx(0.44, abs=0.01)


def test_a_push_is_a_contact_and_friction_soon_stops_what_is_not_pushed():
  simulation, physics, _ = begun("table/push")
  with physics.reset_context():
    physics.data.qpos[:] = [-0.2, 0, 0, 0, 0]
  apart = simulation.step(np.zeros(2)).observation["event/contact"]
  for _ in range(3):
    pushed = simulation.step(np.array([1.0, 0.0])).observation["event/contact"]
  there = physics.data.qpos[2:4].copy()
  for _ in range(5):
    left = simulation.step(np.array([-1.0, 0.0])).observation["event/contact"]
  assert (apart, pushed, left) == (0, 1, 0)
  assert there[0] > 0.03 and abs(there[1]) < 0.02
  np.testing.assert_allclose(physics.data.qpos[2:4], there, atol=0.005)


def test_pixels_are_where_the_object_is_seen_at_the_start_and_in_the_goal():
  env = make(EnvConfig("table/push", image_size=64, rendering="fast"), 0)
  for seed in range(3):
    shown = env.reset(seed).observation
    for image, (row, column) in zip(("image", "goal/image"), shown["goal/pixels"].reshape(2, 2), strict=True):
      red, _, blue = np.moveaxis(shown[image][int(64 * row), int(64 * column)].astype(int), -1, 0)
      assert blue > 1.5 * red, (seed, image)
    later = env.step(np.ones(2)).observation
    np.testing.assert_array_equal(later["goal/pixels"], shown["goal/pixels"])
  env.close()


@pytest.mark.parametrize(
  ("task", "name", "least", "most"),
  [
    ("table/reach", "controller", 1, 1),
    ("table/place", "controller", 1, 1),
    ("table/push", "controller", 0.8, 1),
    ("table/push", "random", 0, 0.2),
  ],
)
def test_straight_to_the_goal_from_the_true_state_succeeds_and_chance_seldom_does(task, name, least, most):
  returns, distances = goal_baselines.run(task, goal_baselines.controllers(task)[name], 15, 1, 0)
  assert least <= returns.mean() <= most and (distances <= 0.05).mean() == returns.mean()


def test_a_contact_that_is_over_at_the_end_of_the_step_counts_in_that_step():
  simulation, physics, _ = begun("table/push")
  with physics.reset_context():
    physics.data.qpos[:] = [0.02 - PUCK - SIDE, 0, 0, 0, 0]
  contacts = [simulation.step(np.array([-1.0, 0.0])).observation["event/contact"].item() for _ in range(2)]
  assert contacts == [1, 0] and not physics.data.ncon


def test_a_contact_in_any_repeat_of_an_action_counts():
  simulation = goal_task.simulate(TASKS["table/push"], 0, repeat=2)
  assert simulation.reset().observation["event/contact"] == 0
  with simulation.physics.reset_context():
    simulation.physics.data.qpos[:] = [0.02 - PUCK - SIDE, 0, 0, 0, 0]
  contacts = [simulation.step(np.array([-1.0, 0.0])).observation["event/contact"].item() for _ in range(4)]
  assert contacts == [1, 1, 0, 0] and not simulation.physics.data.ncon


def test_a_place_has_a_few_examples_that_are_all_successes_and_always_the_same():
  env = make(EnvConfig("table/place", observations=("puck", "objects")), 0)
  shown = [env.reset(seed).observation for seed in range(60)]
  examples = {tuple(each["goal/puck"].tolist() + each["goal/objects"].tolist()) for each in shown}
  assert len(examples) == 10
  for *puck, x, y, _, _ in examples:
    assert np.linalg.norm(np.array(puck) - 0.25) < 0.05 < np.linalg.norm(np.array([x, y]) - puck)
  np.testing.assert_allclose(shown[0]["true/distance"], np.linalg.norm(shown[0]["puck"] - 0.25), rtol=1e-5)
  assert list(env.spec.visible) == ["puck", "objects"]
  env.close()
