"""Steps E environments one after the other in this process."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dreamerax.envs import film
from dreamerax.envs.base import EnvBatch, Environment, EpisodeSoFar, Step, Work
from dreamerax.envs.faults import (
  EnvironmentFault,
  Failures,
  NotFinite,
  describe,
  ends_episode,
  ends_run,
  is_told,
  last_line,
)
from dreamerax.envs.journal import Journal, is_row
from dreamerax.types import EnvSpec, Transition

_log = logging.getLogger(__name__)


class SerialEnvs(EnvBatch):
  """Steps its environments in `receive`, so that what the caller dispatches after `send` already runs meanwhile.

  An environment that raises is made anew where it is known how, and its episode ends as one of a worker does: see `Workers`.
  """

  def __init__(
    self,
    envs: Sequence[Environment],
    seeds: Sequence[int],
    *,
    make: Callable[[int], Environment] | None = None,
    skip_nonfinite: bool = False,
  ):
    """
    Args:
      seeds: one for each environment; those of its episodes follow from it.
      make: an environment from its seed, to take the place of one that raised; None: what it raised is raised.
      skip_nonfinite: end an episode that shows a number that is not finite, and go on; otherwise that is an EnvironmentFault.

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
    self._seeds = list(seeds)
    self._journal = Journal(seeds, self._spec.action.size)
    self._actions: np.ndarray | None = None
    self._newest: Transition | None = None
    self._ended: Mapping[int, Mapping[str, float]] = {}
    self._seconds = self._drawn = 0.0
    self._make, self._skip_nonfinite = make, skip_nonfinite
    self._failures = [Failures() for _ in envs]
    self._faults = self._skipped = self._calls = 0

  @property
  def num_envs(self) -> int:
    return len(self._envs)

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  @property
  def work(self) -> Work:
    return Work(self._seconds, self._drawn + sum(env.rendering_seconds for env in self._envs))

  @property
  def faults(self) -> int:
    return self._faults

  @property
  def ended(self) -> Mapping[int, Mapping[str, float]]:
    return self._ended

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
    self._newest = newest
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
    self._calls += 1
    steps = [self._begin_episode(i) if ended[i] else self._step(i, actions[i]) for i in range(self.num_envs)]
    self._seconds += time.perf_counter() - began
    self._ended = {index: step.log for index, step in enumerate(steps) if step.is_last and step.log}
    self._newest = rows = self._stack(steps, actions)
    self._journal.receive(0, actions, rows.is_first, rows.is_last)
    return rows

  def render(self, index: int) -> np.ndarray:
    return film.frame(self._envs[index])

  def close(self) -> None:
    for env in self._envs:
      env.close()

  def _begin_episode(self, index: int) -> Step:
    """The first step of the environment's next episode, or of one after it where that cannot be begun."""
    while True:
      try:
        return self._envs[index].reset(self._journal.begin(index))
      except Exception as error:
        self._replace(index, error)

  def _step(self, index: int, action: np.ndarray) -> Step:
    """The environment's next step, or one that ends its episode where it fails."""
    try:
      return self._envs[index].step(action)
    except NotFinite as breach:
      if not self._skip_nonfinite:
        raise EnvironmentFault(ends_run(describe(index, breach))) from None
      self._faults += 1
      self._skipped += 1
      if is_told(self._skipped):
        _log.warning("%s", ends_episode(describe(index, breach), self._skipped))
    except Exception as error:
      self._replace(index, error)
    return self._cut(index)

  def _replace(self, index: int, error: Exception) -> None:
    """Makes the environment anew. Called where `error` is handled."""
    if self._make is None:
      raise error
    account, name = describe(index, error), f"environment {index}"
    if isinstance(error, NotFinite) and not self._skip_nonfinite:
      raise EnvironmentFault(ends_run(account)) from None
    _log.warning("%s failed and is made anew; its episode ends here. What it said: %s", name, account)
    self._faults += 1
    self._failures[index].add(self._calls, name, account)
    self._drawn += self._envs[index].rendering_seconds
    with contextlib.suppress(Exception):  # what has failed may fail here too
      self._envs[index].close()
    try:
      self._envs[index] = self._make(self._seeds[index])
    except Exception as again:
      raise EnvironmentFault(f"{name} could not be made anew: {again!r}; before, {last_line(account)}") from again

  def _cut(self, index: int) -> Step:
    """Ends the environment's episode: its newest row once more, as a last one."""
    assert self._newest is not None, "step is not called before reset"
    observation = {key: array[index] for key, array in self._newest.observation.items()}
    return Step(observation, 0.0, is_first=False, is_last=True, is_terminal=False)

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
