"""Environments that step together in one call, in this process, and one of them as an Environment."""

import abc
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dreamerax.envs.base import EnvBatch, Environment, Step, Work, checked_action
from dreamerax.envs.faults import Breach, EnvironmentFault, NotFinite
from dreamerax.own_code import account
from dreamerax.types import ArraySpec, EnvSpec, Transition


class WholeEnvs(EnvBatch):
  """E environments behind one call.

  What they raise, and a number that is not finite where nothing else is said, is the end of all of them: none can be
  made anew by itself.
  """

  def __init__(self, num_envs: int, name: str):
    """name: how errors call them."""
    self._count, self._name = num_envs, name
    self._over = np.ones(num_envs, bool)  # the newest row is an episode's last, or there is none
    self._actions: np.ndarray | None = None  # of the step in flight
    self._seconds = 0.0
    self._ended: Mapping[int, Mapping[str, float]] = {}

  @abc.abstractmethod
  def begin(self, seed: int) -> Transition:
    """Begins an episode everywhere; all that is random in them follows from `seed`, below 2**32."""

  @abc.abstractmethod
  def restart(self) -> Transition:
    """Begins an episode everywhere, with the next seeds."""

  @abc.abstractmethod
  def advance(self, actions: np.ndarray) -> Transition:
    """Takes a step with `actions` [E, A], which may be written to; begins the next episode where the newest row was last.

    Raises:
      Breach: what they answer is not what their interface asks for.
    """

  @property
  def num_envs(self) -> int:
    return self._count

  @property
  def work(self) -> Work:
    return Work(self._seconds)

  @property
  def ended(self) -> Mapping[int, Mapping[str, float]]:
    return self._ended

  def reset(self) -> Transition:
    if self._actions is not None:
      self.receive()
    return self._watched(self.restart)

  def send(self, actions: np.ndarray) -> None:
    if self._actions is not None:
      raise RuntimeError("send was called twice without receive.")
    self._actions = self.checked_actions(actions).copy()
    self._actions[self._over] = 0

  def receive(self) -> Transition:
    """
    Raises:
      EnvironmentFault: they raised, or answered something else than they must.
    """
    if self._actions is None:
      raise RuntimeError("receive was called without send.")
    actions, self._actions = self._actions, None
    return self._watched(lambda: self.advance(actions))

  def _watched(self, act: Callable[[], Transition]) -> Transition:
    began = time.perf_counter()
    try:
      return act()
    except Breach as breach:
      raise EnvironmentFault(f"{self._name}: {breach}") from breach
    except Exception as error:
      raise EnvironmentFault(f"{self._name} raised {account(error)}") from error
    finally:
      self._seconds += time.perf_counter() - began


class Alone(Environment):
  """A batch of one environment, as an Environment."""

  def __init__(self, envs: WholeEnvs, name: str, declared: Mapping[str, ArraySpec]):
    """
    Args:
      name: how errors call it.
      declared: as `Environment.declared` has it.
    """
    self._envs, self._name, self._declared = envs, name, declared
    self._ended = True

  @property
  def spec(self) -> EnvSpec:
    return self._envs.spec

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    return self._declared

  def reset(self, seed: int | None = None) -> Step:
    return self._step(self._envs.restart() if seed is None else self._envs.begin(seed))

  def step(self, action: np.ndarray) -> Step:
    if self._ended:
      raise RuntimeError(f"{self._name}: the episode is over (or never began); call reset first.")
    taken = checked_action(action, self.spec.action, self._name).astype(np.float32)
    return self._step(self._envs.advance(taken[None]))

  def render(self) -> np.ndarray:
    return self._envs.render(0)

  def close(self) -> None:
    self._envs.close()

  def _step(self, rows: Transition) -> Step:
    self._ended = bool(rows.is_last[0])
    observation = {name: np.array(array[0]) for name, array in rows.observation.items()}
    flags = (bool(flag[0]) for flag in (rows.is_first, rows.is_last, rows.is_terminal))
    return Step(observation, float(rows.reward[0]), *flags, log=self._envs.ended.get(0, {}))


def not_finite(rows: Transition, spec: EnvSpec) -> tuple[np.ndarray, str]:
  """Finds the rows [E, ...] with a number that is not finite: bool [E], and the name of the first array that has one."""
  bad, name = ~np.isfinite(rows.reward), ""
  if bad.any():
    name = "the reward"
  for key, array in spec.observation.items():
    if not array.is_image:
      wrong = ~np.isfinite(rows.observation[key]).all(-1)
      name = name or (f"observation {key!r}" if wrong.any() else "")
      bad = bad | wrong
  return bad, name


def check_finite(rows: Transition, spec: EnvSpec) -> None:
  """Raises NotFinite: the first row with a number that is not finite."""
  bad, name = not_finite(rows, spec)
  if bad.any():
    index = int(bad.argmax())
    raise NotFinite(
      f"{name} of environment {index} has a number that is not finite", "leave out what may be nan or inf"
    )


def as_flags(value: Any, what: str, num_envs: int) -> np.ndarray:
  """bool [E], copied. Raises Breach: it is something else."""
  flags = np.asarray(value)
  if flags.shape != (num_envs,) or flags.dtype != bool:
    raise Breach(f"{what} is {flags.dtype} {list(flags.shape)}", f"return bool [{num_envs}]: one for each environment")
  return flags.copy()
