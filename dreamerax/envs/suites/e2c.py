"""The tasks that locally linear latents are compared on: `e2c/planar`, `e2c/balance`, `e2c/swingup`, `e2c/cartpole`.

Watter et al. 2015 (E2C) posed them; the figures are those of the published code of PCC (Levine et al. 2020) and PC3
(Shu et al. 2020). Each shows images and, as `goal/image`, the image of its goal; or the true state, where that is asked
for.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import near
from dreamerax.envs.suites.actions import BoxActions, DiscreteActions
from dreamerax.envs.suites.plane import Plane
from dreamerax.envs.suites.poles import CartPole, Pendulum
from dreamerax.types import GOAL, TRUE, ArraySpec, EnvSpec

PREFIX = "e2c/"
IMAGE, STATE = "image", "state"


class Scene(Protocol):
  """A system: how it moves, and how it looks."""

  @property
  def side(self) -> int:
    """The side of its picture, in pixels."""
    ...

  @property
  def frames(self) -> int:
    """Pictures, one after the other, that an image consists of: velocities need two."""
    ...

  @property
  def actions(self) -> int:
    """Length of an action."""
    ...

  @property
  def limit(self) -> float:
    """The largest size of an action's entries, in the scene's units."""
    ...

  def move(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The next state, under an action in the scene's units."""
    ...

  def allows(self, state: np.ndarray) -> bool:
    """Whether an episode may begin in that state."""
    ...

  def in_goal(self, state: np.ndarray, goal: np.ndarray) -> bool: ...

  def draw(self, state: np.ndarray) -> np.ndarray:
    """uint8 [side, side]."""
    ...


Box = tuple[tuple[float, ...], tuple[float, ...]]  # the least and the greatest of states


@dataclass(frozen=True)
class Task:
  """A scene with where its episodes begin and what their goals are."""

  scene: Scene
  starts: Box  # of uniform first states
  anywhere: Box  # of those of exploring starts: what an episode may come across
  goals: tuple[tuple[float, ...], ...]  # states, of which each episode draws one
  steps: int  # of an episode
  explored: int  # steps of an episode that begins anywhere
  moves: bool = (
    False  # choices: an action's entries are at their least, 0, or at their greatest; first states are whole
  )


_CORNERS = ((37.0, 37.0), (37.0, 3.0), (3.0, 37.0))
_SHORT = 3  # steps: few random torques or forces change a velocity, so that states differ by where episodes begin
_NEAR_ORIGIN, _PLANE = ((3.0, 3.0), (7.0, 7.0)), ((1.5, 1.5), (38.5, 38.5))
_TURNS = ((-np.pi, -3 * np.pi), (np.pi, 3 * np.pi))
_CART = ((-np.pi / 3, -2.0, -1.0, -2.0), (np.pi / 3, 2.0, 1.0, 2.0))
_UPRIGHT, _HANGING = ((0.0, 0.0), (0.0, 0.0)), ((0.9 * np.pi, 0.0), (0.95 * np.pi, 0.0))
_LEANING = ((-np.pi / 8, 0.0, 0.0, 0.0), (np.pi / 8, 0.0, 0.0, 0.0))
TASKS = {
  "e2c/planar": Task(Plane(), _NEAR_ORIGIN, _PLANE, _CORNERS, steps=40, explored=40),
  "e2c/planar_opposite": Task(Plane(), _NEAR_ORIGIN, _PLANE, _CORNERS[:1], steps=40, explored=40),
  "e2c/planar_moves": Task(Plane(whole=True), _PLANE, _PLANE, _CORNERS[:1], steps=40, explored=40, moves=True),
  "e2c/balance": Task(Pendulum(), _UPRIGHT, _TURNS, ((0.0, 0.0),), steps=100, explored=_SHORT),
  "e2c/swingup": Task(Pendulum(), _HANGING, _TURNS, ((0.0, 0.0),), steps=100, explored=_SHORT),
  "e2c/cartpole": Task(CartPole(), _LEANING, _CART, ((0.0, 0.0, 0.0, 0.0),), steps=50, explored=_SHORT),
}


def make(config: EnvConfig, seed: int) -> Environment:
  """Raises ValueError: there is no such task, or it has no such observation."""
  check(config.task)
  known = (IMAGE, STATE, TRUE + STATE)
  unknown = next((name for name in config.observations if name not in known), None)
  if unknown is not None:
    raise ValueError(f"observations: {config.task} has no {unknown!r}: name some of {', '.join(known)}")
  return SceneEnv(config.task, seed, exploring_starts=config.exploring_starts, observations=config.observations)


def check(task: str) -> None:
  """Raises ValueError: there is no such task; names the nearest."""
  if task not in TASKS:
    raise ValueError(f"task={task!r} is not of Embed to Control.{near(task, TASKS, PREFIX)}")


def names() -> tuple[str, ...]:
  """All tasks."""
  return tuple(TASKS)


class SceneEnv(Environment):
  """A task of the table. The reward is 1 in the goal, else 0, so that return / steps is the share of steps in the goal.

  An image has the newest picture as its first channel and, where the scene needs two, the one before as its second. Of a
  reset and of a goal, both are the same; of an exploring start, they show the velocity. Episodes end by time limit alone:
  those of exploring starts after 3 steps where there is a velocity, so that 5,000 steps have 1,667 beginnings. As an
  observation, the states that exploring starts draw lie in [-1, 1].
  """

  state: np.ndarray  # the true one, in the scene's units
  goal: np.ndarray  # likewise

  def __init__(self, task: str, seed: int, *, exploring_starts: bool = False, observations: tuple[str, ...] = (IMAGE,)):
    """
    Args:
      seed: of the episodes, where their resets give none.
      exploring_starts: whether they begin anywhere in place of where the task says.
      observations: any of image, state and true/state; each comes with its goal.
    """
    self._shown, self._states = IMAGE in observations, tuple(name for name in observations if name != IMAGE)
    self._name, self._task, self._scene = task, TASKS[task], TASKS[task].scene
    self._exploring = exploring_starts
    self._starts = self._task.anywhere if exploring_starts else self._task.starts
    self._steps = self._task.explored if exploring_starts else self._task.steps
    count, limit = self._scene.actions, self._scene.limit
    self._choices = np.stack(np.meshgrid(*[np.array([-limit, 0, limit])] * count, indexing="ij"), -1).reshape(-1, count)
    bound = np.full(count, limit)
    self._actions = DiscreteActions(len(self._choices)) if self._task.moves else BoxActions(-bound, bound)
    self._rng, self._clock = np.random.default_rng(seed), self._steps

  @property
  def spec(self) -> EnvSpec:
    image = ArraySpec((self._scene.side, self._scene.side, self._scene.frames), "uint8")
    images = {IMAGE: image, GOAL + IMAGE: image} if self._shown else {}
    state = ArraySpec((len(self._task.starts[0]),))
    return EnvSpec(images | dict.fromkeys((*self._states, *self._state_goal), state), self._actions.spec)

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      self._rng = np.random.default_rng(seed)
    self.state = self._first_state()
    while not self._scene.allows(self.state):
      self.state = self._first_state()
    self.goal = np.array(self._task.goals[self._rng.integers(len(self._task.goals))])
    picture, goal = self._scene.draw(self.state), self._scene.draw(self.goal)
    self._pictures = deque([picture] * self._scene.frames, maxlen=self._scene.frames)
    if self._exploring and self._scene.frames > 1:  # as in the midst of an episode, so that the velocity is seen
      action = self._rng.uniform(-self._scene.limit, self._scene.limit, self._scene.actions)
      self.state = self._scene.move(self.state, action)
      self._pictures.appendleft(self._scene.draw(self.state))
    self._goal_image, self._clock = np.stack([goal] * self._scene.frames, -1), 0
    return self._step(0.0)

  def step(self, action: np.ndarray) -> Step:
    if self._clock == self._steps:
      raise RuntimeError(f"{self._name}: no episode is under way: reset first.")
    taken = self._actions(action, self._name)
    taken = self._choices[taken] if self._task.moves else taken
    self.state, self._clock = self._scene.move(self.state, taken), self._clock + 1
    self._pictures.appendleft(self._scene.draw(self.state))
    return self._step(float(self._scene.in_goal(self.state, self.goal)))

  def render(self) -> np.ndarray:
    """The newest picture, in grey."""
    return self._pictures[0][..., None].repeat(3, -1)

  def _first_state(self) -> np.ndarray:
    state = self._rng.uniform(*self._starts)
    return np.rint(state) if self._task.moves else state

  def _step(self, reward: float) -> Step:
    observation: dict[str, np.ndarray] = {}
    if self._shown:
      observation |= {IMAGE: np.stack(self._pictures, -1), GOAL + IMAGE: self._goal_image.copy()}
    observation |= {name: self._scaled(self.state) for name in self._states}
    observation |= {name: self._scaled(self.goal) for name in self._state_goal}
    return Step(observation, reward, self._clock == 0, self._clock == self._steps, False)

  @property
  def _state_goal(self) -> tuple[str, ...]:
    return (GOAL + STATE,) if self._states else ()

  def _scaled(self, state: np.ndarray) -> np.ndarray:
    low, high = map(np.array, self._task.anywhere)
    return (2 * (state - low) / (high - low) - 1).astype(np.float32)
