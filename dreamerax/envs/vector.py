"""E environments stepped one after the other in this process."""

import logging
import time
from collections.abc import Sequence

import numpy as np

from dreamerax.envs.base import EnvBatch, Environment, EpisodeSoFar, Step, Work
from dreamerax.envs.journal import Journal, is_row
from dreamerax.types import EnvSpec, Transition

_log = logging.getLogger(__name__)


class SerialEnvs(EnvBatch):
  """Steps its environments in `receive`, so that what the caller dispatches after `send` already runs meanwhile."""

  def __init__(self, envs: Sequence[Environment], seeds: Sequence[int]):
    """
    Args:
      seeds: one for each environment; those of its episodes follow from it.

    Raises:
      ValueError: there are no environments, not as many seeds, or their specs differ.
    """
    if not envs:
      raise ValueError("num_envs must be at least 1.")
    if len(seeds) != len(envs):
      raise ValueError(f"there are {len(envs)} environments and {len(seeds)} seeds: give one to each.")
    for index, env in enumerate(envs):
      if env.spec != envs[0].spec:
        raise ValueError(
          f"environment {index} has the spec {env.spec}, environment 0 {envs[0].spec}: they must be equal."
        )
    self._envs = list(envs)
    self._spec = envs[0].spec
    self._journal = Journal(seeds, self._spec.action.size)
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
    if self._actions is not None:
      self.receive()
    self._journal.over[:] = True
    self._actions = np.zeros((self.num_envs, self._spec.action.size), np.float32)
    return self.receive()

  def episodes(self) -> list[EpisodeSoFar]:
    return self._journal.episodes(0, self.num_envs)

  def resume(self, episodes: Sequence[EpisodeSoFar], newest: Transition) -> np.ndarray:
    if self._actions is not None:
      self.receive()
    began = time.perf_counter()
    streams = zip(range(self.num_envs), episodes, strict=True)
    gone = np.array([not (episode.over or self._replay(i, episode, newest)) for i, episode in streams])
    self._seconds += time.perf_counter() - began
    self._journal.resume(0, episodes, gone)
    return gone

  def send(self, actions: np.ndarray) -> None:
    if self._actions is not None:
      raise RuntimeError("send was called twice without receive.")
    self._actions = self.checked_actions(actions).copy()

  def receive(self) -> Transition:
    if self._actions is None:
      raise RuntimeError("receive was called without send.")
    actions, self._actions = self._actions, None
    ended = self._journal.over.copy()
    actions[ended] = 0
    began = time.perf_counter()
    steps = [
      env.reset(self._journal.begin(i)) if ended[i] else env.step(actions[i]) for i, env in enumerate(self._envs)
    ]
    self._seconds += time.perf_counter() - began
    rows = self._stack(steps, actions)
    self._journal.receive(0, actions, rows.is_first, rows.is_last)
    return rows

  def close(self) -> None:
    for env in self._envs:
      env.close()

  def _replay(self, index: int, episode: EpisodeSoFar, newest: Transition) -> bool:
    """Whether the environment shows its newest row again."""
    try:
      step = self._envs[index].replay(self._journal.seed(index, episode.number), episode.actions)
    except Exception:
      _log.warning("environment %d raised while its episode was replayed", index, exc_info=True)
      return False
    return is_row(step, newest, index)

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
