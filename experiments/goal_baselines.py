"""How often scenes with goals succeed without learning: by random actions, and by a controller that knows the true state.

python -m experiments.goal_baselines --task goal/reacher --action-repeat 4

On a body, the controller pulls every joint to its angle in the goal and damps its speed. On the table, the puck goes behind
the object that is farthest from its place and pushes it straight there; where there are objects, a controller that knows
nothing of that brings the puck straight to the goal of one. A planner that searches in the true physics plays fewer
episodes, as each takes seconds to minutes. It prints the success rate, and the distance at the end of an episode.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.envs.suites import goal, goal_task, table
from experiments.true_physics import TruePhysics

Controller = Callable[[Any, Any, np.random.RandomState], np.ndarray]  # physics, goal, random -> action in [-1, 1]
TASKS: dict[str, goal_task.GoalScene] = {**goal.TASKS, **table.TASKS}
_HINGE = 3  # of MuJoCo's types of joints
_GAINS = {"goal/reacher": (0.5, 0.1), "goal/point_mass": (10.0, 0.0)}  # of the gap to the goal, and of speed
_BEHIND = table.PUCK + 1.5 * table.SIDE  # from the middle of an object to that of the puck
_ASIDE = 0.03  # metres that the puck may be beside the line of a push when it begins


def chance(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
  return random.uniform(-1, 1, physics.model.nu)


def pull(task: str) -> Controller:
  """A spring and a damper on every joint."""
  stiffness, damping = _GAINS[task]

  def act(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
    gap = aim.data.qpos - physics.data.qpos
    model = physics.model
    around = (model.jnt_type == _HINGE) & (model.jnt_limited == 0)
    gap = np.where(around, np.angle(np.exp(1j * gap)), gap)  # hinges without limits turn the shorter way
    return np.clip(stiffness * gap - damping * physics.data.qvel, -1, 1)

  return act


def push(scene: table.Table) -> Controller:
  """Straight to the goal: by itself, or behind an object."""

  def act(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
    puck, places, goals = physics.data.qpos[:2], scene.places(physics), scene.places(aim)
    if not scene.objects:
      return _towards(puck, goals[0])
    farthest = np.linalg.norm(goals - places, axis=-1).argmax()
    place, gap = places[farthest], goals[farthest] - places[farthest]
    length = np.linalg.norm(gap)
    if length < 0.01:
      return np.zeros(2)
    along = gap / length
    across = np.array([-along[1], along[0]])
    off = puck - place
    if off @ along < 0 and abs(off @ across) < _ASIDE:
      return _towards(puck, puck + min(table.STEP, length) * along - (off @ across) * across)
    if off @ along > -_BEHIND / 2:  # beside it or before it: first around
      side = np.sign(off @ across) or 1.0
      clear = abs(off @ across) > _BEHIND
      return _towards(puck, place + 1.3 * _BEHIND * (side * across - (along if clear else 0)))
    return _towards(puck, place - 1.1 * _BEHIND * along)

  return act


def still(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
  return np.zeros(physics.model.nu)


def to_goal(scene: table.Table) -> Controller:
  """The puck goes straight to where the object that is farthest from its goal should be."""

  def act(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
    places, goals = scene.places(physics), scene.places(aim)
    return _towards(physics.data.qpos[:2], goals[np.linalg.norm(goals - places, axis=-1).argmax()])

  return act


def along(scene: table.Table) -> Controller:
  """The puck goes as the object that is farthest from its goal should, wherever the puck is."""

  def act(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
    gaps = scene.places(aim) - scene.places(physics)
    return np.clip(gaps[np.linalg.norm(gaps, axis=-1).argmax()] / table.STEP, -1, 1)

  return act


def place(physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
  """The puck goes straight to where it is in the goal."""
  return _towards(physics.data.qpos[:2], aim.data.qpos[:2])


def _towards(puck: np.ndarray, place: np.ndarray) -> np.ndarray:
  return np.clip((place - puck) / table.STEP, -1, 1)


def controllers(task: str) -> dict[str, Controller]:
  scene = TASKS[task]
  if isinstance(scene, table.Place):
    return {"random": chance, "controller": place}
  if isinstance(scene, table.Table):
    straight = {"straight to the goal": to_goal(scene)} if scene.objects else {}
    return {"random": chance, **straight, "controller": push(scene)}
  return {"random": chance, **({"controller": pull(task)} if task in _GAINS else {})}


def run(
  task: str, controller: Controller, episodes: int, action_repeat: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns and last distances, [episodes] each."""
  simulation = goal_task.simulate(TASKS[task], seed)
  random, returns, distances = np.random.RandomState(seed), [], []
  for _ in range(episodes):
    step, clock = simulation.reset(), 0
    while not step.last():
      if clock % action_repeat == 0:
        action = controller(simulation.physics, simulation.task.goal, random)
      step, clock = simulation.step(action), clock + 1
    returns.append(step.reward)
    distances.append(simulation.task.distance(simulation.physics))
  return np.array(returns), np.array(distances)


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--task", required=True, choices=tuple(TASKS))
  parser.add_argument("--action-repeat", type=int, default=4)
  parser.add_argument("--episodes", type=int, default=200)
  parser.add_argument("--planned", type=int, default=20, help="episodes of the planner on the true physics")
  parser.add_argument("--horizon", type=int, default=9, help="of its plans, in actions; a multiple of 3")
  parser.add_argument("--candidates", type=int, default=60, help="plans of an iteration")
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args(arguments)
  scene, repeat = TASKS[options.task], options.action_repeat
  compared = {name: (controller, options.episodes) for name, controller in controllers(options.task).items()}
  if options.planned:
    planning = Planning(BlockCEM(horizon=options.horizon, candidates=options.candidates), replan_every=3)
    truth = TruePhysics(scene, goal_task.simulate(scene, options.seed).physics, planning, repeat)
    compared["planner on the true physics"] = truth, options.planned
  for name, (controller, episodes) in compared.items():
    returns, distances = run(options.task, controller, episodes, repeat, options.seed)
    print(
      f"{options.task} {name}: success {returns.mean():.1%}, distance {distances.mean():.3f} ± {distances.std():.3f}, "
      f"{episodes} episodes",
      flush=True,
    )


if __name__ == "__main__":
  main()
