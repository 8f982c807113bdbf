"""Crafter (Hafner 2021), an open world with 22 achievements: `crafter/reward`, and `crafter/noreward` without its rewards."""

from typing import Any

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import missing, near
from dreamerax.envs.suites.actions import DiscreteActions
from dreamerax.types import ArraySpec, EnvSpec

PREFIX = "crafter/"
_TASKS = {"crafter/reward": True, "crafter/noreward": False}
_SIZE = 64  # side of its picture in pixels, where no other is asked for


def make(config: EnvConfig, seed: int) -> Environment:
  """Raises ValueError: there is no such task, or crafter is not installed."""
  check(config.task)
  return Crafter(config.task, seed)


def check(task: str) -> None:
  """Raises ValueError: there is no such task (names the nearest), or crafter is not installed."""
  if task not in _TASKS:
    raise ValueError(f"task={task!r} is not of Crafter.{near(task, _TASKS, PREFIX)}")
  try:
    import crafter  # noqa: F401 - asked for, not used
  except ModuleNotFoundError as error:
    raise missing(task, error.name or "crafter", "crafter") from None


def names() -> tuple[str, ...]:
  """Both tasks, whether crafter is installed or not."""
  return tuple(_TASKS)


class Crafter(Environment):
  """One world after the other. Death is terminal, the end after 10,000 steps a time limit."""

  def __init__(self, task: str, seed: int):
    """seed: of the episodes, where their resets give none."""
    import crafter

    self._env: Any = crafter.Env(size=(_SIZE, _SIZE), reward=_TASKS[task], seed=seed)  # pyright: ignore[reportAttributeAccessIssue]
    # It picks creatures from a set, whose order is that of memory addresses: in the order of their birth, they follow the seed.
    balance, world = self._env._balance_chunk, self._env._world
    self._env._balance_chunk = lambda chunk, objs: balance(chunk, sorted(objs, key=world._objects.index))
    self._name = task
    self._actions = DiscreteActions(int(self._env.action_space.n))

  @property
  def spec(self) -> EnvSpec:
    return EnvSpec({"image": ArraySpec((_SIZE, _SIZE, 3), "uint8")}, self._actions.spec)

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      # It draws each episode's world from its seed and how many episodes it has begun, and takes no seed at its reset.
      self._env._seed, self._env._episode = seed, 0
    return Step({"image": self._env.reset()}, 0.0, is_first=True, is_last=False, is_terminal=False)

  def step(self, action: np.ndarray) -> Step:
    image, reward, done, info = self._env.step(self._actions(action, self._name))
    return Step({"image": image}, float(reward), False, bool(done), bool(done) and info["discount"] == 0)
