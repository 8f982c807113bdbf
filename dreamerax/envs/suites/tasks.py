"""Several tasks of one body of the DeepMind Control Suite: `tasks/walker` draws one an episode, `tasks/walker_run` has one.

All tasks of a body show the same, whichever is under way: the task is hidden, and so are the rewards of all of them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from dm_env import specs

from dreamerax.envs.base import Environment
from dreamerax.envs.names import near
from dreamerax.envs.suites import dm_control, foreign
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.types import TASK, TASK_REWARDS

if TYPE_CHECKING:
  from dreamerax.envs.config import EnvConfig

PREFIX = "tasks/"
BODIES = {"walker": ("stand", "walk", "run"), "humanoid": ("stand", "walk", "run"), "hopper": ("stand", "hop")}
STEPS = 1000  # control steps of an episode, as the suite has them


class SeveralTasks:
  """Tasks of one domain as one of `dm_control.rl.control.Environment`, which differ in their rewards alone.

  Beside what the domain shows there are "event/task", one-hot, and "event/rewards", those of all tasks in their order,
  summed over the repeats of an action as the reward is. The return of an episode is logged as that of its task.
  """

  def __init__(self, tasks: Mapping[str, Any], only: int | None, random: np.random.RandomState, repeat: int):
    """
    Args:
      tasks: of `dm_control.suite` by their names, which draw from `random`.
      only: index of the task of every episode; None draws it.
      repeat: control steps that an action is repeated for.
    """
    self.random, self._tasks, self._only, self._repeat = random, list(tasks.values()), only, repeat
    self._names = list(tasks)
    self._now, self._clock, self._rewards, self._return = 0, 0, np.zeros(len(tasks)), 0.0

  def initialize_episode(self, physics: Any) -> None:
    self._now = self.random.randint(len(self._tasks)) if self._only is None else self._only
    self._clock, self._rewards, self._return = 0, np.zeros(len(self._tasks)), 0.0
    self._tasks[self._now].initialize_episode(physics)

  def action_spec(self, physics: Any) -> specs.BoundedArray:
    return self._tasks[0].action_spec(physics)

  def before_step(self, action: np.ndarray, physics: Any) -> None:
    self._tasks[self._now].before_step(action, physics)

  def after_step(self, physics: Any) -> None:
    self._tasks[self._now].after_step(physics)
    if self._clock % self._repeat == 0:
      self._rewards = np.zeros(len(self._tasks))
    rewards = np.array([task.get_reward(physics) for task in self._tasks])
    self._rewards, self._return = self._rewards + rewards, self._return + rewards[self._now]
    self._clock += 1

  def get_reward(self, physics: Any) -> float:
    return self._tasks[self._now].get_reward(physics)

  def get_termination(self, physics: Any) -> float | None:
    return self._tasks[self._now].get_termination(physics)

  def get_observation(self, physics: Any) -> dict[str, np.ndarray]:
    shown = self._tasks[0].get_observation(physics)
    returns = dict.fromkeys((foreign.LOG + name for name in self._names), np.array(np.nan))
    if self._clock == STEPS:
      returns[foreign.LOG + self._names[self._now]] = np.array(self._return)
    return {**shown, **returns, TASK: np.eye(len(self._tasks))[self._now], TASK_REWARDS: self._rewards}

  def observation_spec(self, physics: Any) -> dict[str, specs.Array]:
    shown = {name: np.asarray(value) for name, value in self.get_observation(physics).items()}
    return {name: specs.Array(value.shape, value.dtype, name=name) for name, value in shown.items()}


def make(config: "EnvConfig", seed: int) -> Environment:
  """Raises ValueError: there is no such task, or it has no such observation."""
  check(config.task)
  body, _, only = config.task.removeprefix(PREFIX).partition("_")
  order = BODIES[body]
  suite = dm_control.import_suite()
  from dm_control.rl import control

  random = np.random.RandomState(seed)
  loaded = [suite.load(body, name, task_kwargs={"random": random}) for name in order]
  tasks = {name: each.task for name, each in zip(order, loaded, strict=True)}
  task = SeveralTasks(tasks, order.index(only) if only else None, random, config.action_repeat)
  physics, timestep = loaded[0].physics, loaded[0].control_timestep()
  simulation = control.Environment(physics, task, time_limit=STEPS * timestep, control_timestep=timestep)
  size, quality = config.image_size or dm_control.IMAGE_SIZE, dm_control.QUALITIES[config.rendering]
  return DmEnv(
    simulation,
    name=config.task,
    observations=(*config.observations, TASK, TASK_REWARDS),
    cameras=dm_control.views(physics, config.observations, 0, size, quality),
    action_repeat=config.action_repeat,
  )


def check(task: str) -> None:
  """Raises ValueError: there is no such task; names the nearest."""
  if task not in names():
    raise ValueError(f"task={task!r} is no body with several tasks, nor one of them.{near(task, names(), PREFIX)}")


def names() -> tuple[str, ...]:
  """All bodies, and each of their tasks by itself."""
  return tuple(
    name for body, tasks in BODIES.items() for name in (PREFIX + body, *(f"{PREFIX}{body}_{task}" for task in tasks))
  )
