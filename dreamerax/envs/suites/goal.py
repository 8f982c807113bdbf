"""Bodies of the DeepMind Control Suite that are to take the pose of an image: `goal/reacher`, `goal/point_mass`, `goal/walker`.

Each episode draws a goal as it draws its first state. The physics of both are the suite's; its targets are not shown.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from dreamerax.envs.base import Environment
from dreamerax.envs.names import near
from dreamerax.envs.suites import dm_control, goal_task
from dreamerax.envs.suites.goal_task import GoalScene

if TYPE_CHECKING:
  from dreamerax.envs.config import EnvConfig

PREFIX = "goal/"


class SuiteScene(GoalScene):
  """The body of a task of the suite."""

  domain: str
  task: str
  target: bool  # whether the suite's model has a geom "target"

  def load(self) -> Any:
    suite = dm_control.import_suite()
    physics = suite.load(self.domain, self.task).physics
    if self.target:
      physics.named.model.geom_rgba["target", 3] = 0
      physics.named.model.geom_matid["target"] = -1  # whose colour would count in place of the geom's
    return physics

  def begin(self, physics: Any, random: np.random.RandomState) -> None:
    """As the suite begins its episodes: joints uniform within their limits."""
    from dm_control.suite.utils import randomizers

    randomizers.randomize_limited_and_rotational_joints(physics, random)

  def set_goal(self, physics: Any, random: np.random.RandomState) -> None:
    with physics.reset_context():
      self.begin(physics, random)

  def vectors(self, physics: Any) -> dict[str, np.ndarray]:
    return {"position": physics.position().copy(), "velocity": physics.velocity().copy()}


class Reacher(SuiteScene):
  """An arm of two links in a plane; the distance is that between fingers, in metres."""

  domain, task, target = "reacher", "easy", True
  steps, reach = 200, 0.05

  def distance(self, physics: Any, goal: Any) -> float:
    return _between(physics, goal, "finger")


class PointMass(SuiteScene):
  """A ball that two forces push in a square; the distance is that between places, in metres."""

  domain, task, target = "point_mass", "easy", True
  steps, reach = 300, 0.05

  def distance(self, physics: Any, goal: Any) -> float:
    return _between(physics, goal, "pointmass")


class Walker(SuiteScene):
  """Two legs and a torso; a goal is a pose in which it lies after a fall with constant torques.

  The distance is the largest difference of an angle, in radians, of the torso, hips, knees and ankles. The legs may
  change places.
  """

  domain, task, target = "walker", "stand", False
  steps, reach, substeps = 400, 0.7, 10

  def set_goal(self, physics: Any, random: np.random.RandomState) -> None:
    super().set_goal(physics, random)
    physics.set_control(random.uniform(-1, 1, physics.model.nu))
    physics.step(_FALL * self.substeps)
    physics.named.data.qpos["rootx"] = 0
    physics.data.qvel[:] = 0
    physics.forward()

  def vectors(self, physics: Any) -> dict[str, np.ndarray]:
    height = np.array([physics.torso_height()])
    return {"orientations": physics.orientations().copy(), "height": height, "velocity": physics.velocity().copy()}

  def distance(self, physics: Any, goal: Any) -> float:
    (pitch, *legs), (goal_pitch, *goal_legs) = _walker_angles(physics), _walker_angles(goal)
    torso = abs(np.angle(np.exp(1j * (pitch - goal_pitch))))
    pose, same = np.array(legs), np.array(goal_legs)
    swapped = np.concatenate([same[3:], same[:3]])
    return float(max(torso, min(np.abs(pose - other).max() for other in (same, swapped))))


_FALL = 80  # control steps that the walker falls for, 2 seconds
_WALKER = ("rooty", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
TASKS = {"goal/reacher": Reacher(), "goal/point_mass": PointMass(), "goal/walker": Walker()}


def make(config: "EnvConfig", seed: int) -> Environment:
  """Raises ValueError: there is no such task, or it has no such observation."""
  check(config.task)
  return goal_task.make(TASKS[config.task], config, seed)


def check(task: str) -> None:
  """Raises ValueError: there is no such task; names the nearest."""
  if task not in TASKS:
    raise ValueError(f"task={task!r} is no body with goals.{near(task, TASKS, PREFIX)}")


def names() -> tuple[str, ...]:
  """All tasks."""
  return tuple(TASKS)


def _between(physics: Any, goal: Any, geom: str) -> float:
  places = [each.named.data.geom_xpos[geom] for each in (physics, goal)]
  return float(np.linalg.norm(places[0] - places[1]))


def _walker_angles(physics: Any) -> np.ndarray:
  return np.array([physics.named.data.qpos[name].item() for name in _WALKER])
