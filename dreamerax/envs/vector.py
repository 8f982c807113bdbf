"""E environments stepped one after the other in this process."""

import time
from collections.abc import Sequence

import numpy as np

from dreamerax.envs.base import EnvBatch, Environment, Step, Work
from dreamerax.types import EnvSpec, Transition


def derive_seeds(seed: int, count: int) -> list[int]:
  """`count` seeds of 32 bits, one per environment. More environments leave the first ones' seeds as they are."""
  return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(count)]


class SerialEnvs(EnvBatch):
  """Steps its environments in `receive`, so that what the caller dispatches after `send` already runs meanwhile."""

  def __init__(self, envs: Sequence[Environment]):
    """
    Raises:
      ValueError: there are no environments, or their specs differ.
    """
    if not envs:
      raise ValueError("num_envs must be at least 1.")
    for index, env in enumerate(envs):
      if env.spec != envs[0].spec:
        raise ValueError(
          f"environment {index} has the spec {env.spec}, environment 0 {envs[0].spec}: they must be equal."
        )
    self._envs = list(envs)
    self._spec = envs[0].spec
    self._ended = np.ones(len(envs), bool)
    self._actions: np.ndarray | None = None
    self._seconds = 0.0

  @property
  def num_envs(self) -> int:
    return len(self._envs)

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  @property
  def work(self) -> Work:
    return Work(self._seconds, sum(env.rendering_seconds for env in self._envs))

  def reset(self) -> Transition:
    self._ended[:] = True
    self._actions = np.zeros((self.num_envs, self._spec.action.size), np.float32)
    return self.receive()

  def send(self, actions: np.ndarray) -> None:
    if self._actions is not None:
      raise RuntimeError("send was called twice without receive.")
    self._actions = self.checked_actions(actions).copy()

  def receive(self) -> Transition:
    if self._actions is None:
      raise RuntimeError("receive was called without send.")
    actions, self._actions = self._actions, None
    actions[self._ended] = 0
    ended = self._ended.copy()
    began = time.perf_counter()
    rows = [env.reset() if ended[i] else env.step(actions[i]) for i, env in enumerate(self._envs)]
    self._seconds += time.perf_counter() - began
    self._ended = np.array([row.is_last for row in rows])
    return self._stack(rows, actions)

  def close(self) -> None:
    for env in self._envs:
      env.close()

  def _stack(self, rows: Sequence[Step], actions: np.ndarray) -> Transition:
    observation = {}
    for key, spec in self._spec.observation.items():
      observation[key] = np.empty((len(rows), *spec.shape), spec.dtype)  # [E, ...]
      for target, row in zip(observation[key], rows, strict=True):
        target[...] = row.observation[key]
    return Transition(
      observation=observation,
      action=actions,
      reward=np.array([row.reward for row in rows], np.float32),
      is_first=np.array([row.is_first for row in rows]),
      is_last=np.array([row.is_last for row in rows]),
      is_terminal=np.array([row.is_terminal for row in rows]),
    )
