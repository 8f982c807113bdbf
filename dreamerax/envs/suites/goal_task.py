"""Tasks whose goal is another state of the same physics, shown as an image from the start of an episode."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from dm_env import specs

from dreamerax.envs.base import Environment
from dreamerax.envs.suites import dm_control, foreign
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.types import EVENT, GOAL, TRUE

if TYPE_CHECKING:
  from dreamerax.envs.config import EnvConfig

DISTANCE = foreign.LOG + "distance"


class GoalScene(abc.ABC):
  """A system that MuJoCo simulates: where its episodes begin, and what their goals are."""

  steps: int  # control steps of an episode
  reach: float  # the largest distance to the goal that counts as success
  substeps: int = 1  # simulator steps of a control step
  camera: int = 0

  @abc.abstractmethod
  def load(self) -> Any:
    """A new `dm_control.mujoco.Physics`."""

  @abc.abstractmethod
  def begin(self, physics: Any, random: np.random.RandomState) -> None:
    """Draws the first state of an episode; `physics` was just reset."""

  @abc.abstractmethod
  def set_goal(self, physics: Any, random: np.random.RandomState) -> None:
    """Draws the state of the goal; `physics` is in the first state of the episode."""

  @abc.abstractmethod
  def distance(self, physics: Any, goal: Any) -> float:
    """How far `physics` is from `goal`, another one of the same model."""

  @abc.abstractmethod
  def vectors(self, physics: Any) -> dict[str, np.ndarray]:
    """The state as vectors, which an agent may be shown beside images or in place of them."""

  def hidden(self, physics: Any, goal: Any) -> dict[str, np.ndarray]:
    """Further hidden observations by name; none by default."""
    return {}

  def action_spec(self, physics: Any) -> specs.BoundedArray:
    """The actions that `act` takes: the simulator's controls."""
    from dm_control import mujoco

    return mujoco.action_spec(physics)

  def act(self, physics: Any, action: np.ndarray) -> None:
    """Sets the controls for the simulator's step or steps that follow."""
    physics.set_control(action)


class GoalTask:
  """A scene as a task of `dm_control.rl.control.Environment`.

  The reward is 1 at the last step of an episode that ends within reach of the goal, else 0: returns are success rates.
  The distance at the last step is logged. Episodes end by time limit alone. Of observations `event/<name>`, the largest over
  the repeats of an action is shown: an event happened where it did in any of them.
  """

  def __init__(self, scene: GoalScene, physics: Any, seed: int, repeat: int):
    """
    Args:
      seed: of the episodes, where their resets give none.
      repeat: control steps that an action is repeated for.
    """
    self.scene, self.goal = scene, physics.copy(share_model=True)
    self.random = np.random.RandomState(seed)
    self.episode = 0  # number of the newest one
    self._clock, self._repeat = 0, repeat
    self._events: dict[str, np.ndarray] = {}  # of the control steps that the newest action has taken so far

  def initialize_episode(self, physics: Any) -> None:
    self.scene.begin(physics, self.random)
    with self.goal.reset_context():
      self.goal.set_state(physics.get_state())
    self.scene.set_goal(self.goal, self.random)
    self._clock, self.episode, self._events = 0, self.episode + 1, {}

  def action_spec(self, physics: Any) -> specs.BoundedArray:
    return self.scene.action_spec(physics)

  def before_step(self, action: np.ndarray, physics: Any) -> None:
    if self._clock % self._repeat == 0:
      self._events = {}
    self.scene.act(physics, action)
    self._clock += 1

  def after_step(self, physics: Any) -> None:
    """Part of dm_control's interface."""

  def get_reward(self, physics: Any) -> float:
    return float(self._ends and self.distance(physics) <= self.scene.reach)

  def get_termination(self, physics: Any) -> float | None:
    return 1.0 if self._ends else None

  def get_observation(self, physics: Any) -> dict[str, np.ndarray]:
    aims = {GOAL + name: value for name, value in self.scene.vectors(self.goal).items()}
    hidden = self.scene.hidden(physics, self.goal)
    found = {name: value for name, value in hidden.items() if name.startswith(EVENT)}
    self._events = {name: np.maximum(value, self._events.get(name, value)) for name, value in found.items()}
    distance = np.array(self.distance(physics) if self._ends else np.nan)
    return {
      **self.scene.vectors(physics),
      **aims,
      **hidden,
      **self._events,
      DISTANCE: distance,
    }

  def observation_spec(self, physics: Any) -> dict[str, specs.Array]:
    return {
      name: specs.Array(value.shape, value.dtype, name=name) for name, value in self.get_observation(physics).items()
    }

  def distance(self, physics: Any) -> float:
    """How far `physics` is from the goal, in the scene's measure."""
    return self.scene.distance(physics, self.goal)

  @property
  def _ends(self) -> bool:
    return self._clock == self.scene.steps


def simulate(scene: GoalScene, seed: int, repeat: int = 1) -> Any:
  """The scene as a `dm_control.rl.control.Environment` without images, whose `task` is a `GoalTask`.

  repeat: control steps that an action is repeated for, over which events are told together.
  """
  dm_control.import_suite()
  from dm_control.rl import control

  physics = scene.load()
  return control.Environment(physics, GoalTask(scene, physics, seed, repeat), n_sub_steps=scene.substeps)


def make(scene: GoalScene, config: "EnvConfig", seed: int) -> Environment:
  """The scene with images "image" and "goal/image", or with the images and vectors that `config` names.

  Raises:
    ValueError: the scene has no observation or camera by that name.
  """
  simulation = simulate(scene, seed, config.action_repeat)
  size, quality = config.image_size or dm_control.IMAGE_SIZE, dm_control.QUALITIES[config.rendering]
  now, aims = (
    dm_control.views(physics, config.observations, scene.camera, size, quality)
    for physics in (simulation.physics, simulation.task.goal)
  )
  hidden = scene.hidden(simulation.physics, simulation.task.goal)
  goals = dict.fromkeys(GOAL + name.removeprefix(TRUE) for name in config.observations)
  return DmEnv(
    simulation,
    name=config.task,
    observations=(*config.observations, *goals, *hidden),
    cameras={**now, **{GOAL + name: (spec, _once(simulation.task, take)) for name, (spec, take) in aims.items()}},
    action_repeat=config.action_repeat,
  )


def _once(task: GoalTask, take: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
  """Takes the goal's picture once in an episode, and gives a copy of it whenever it is asked for."""
  episode, picture = -1, np.zeros(0)

  def show() -> np.ndarray:
    nonlocal episode, picture
    if episode != task.episode:
      episode, picture = task.episode, take()
    return picture.copy()

  return show
