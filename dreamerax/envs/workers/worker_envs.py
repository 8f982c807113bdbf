"""Shows environments in worker processes as a batch."""

from collections.abc import Mapping, Sequence

import numpy as np

from dreamerax.envs.base import EnvBatch, EpisodeSoFar, Work
from dreamerax.envs.workers.process import Command
from dreamerax.envs.workers.workers import Workers
from dreamerax.types import EnvSpec, Transition


class WorkerEnvs(EnvBatch):
  """Some or all rows of `Workers`; several of these can be in flight at once."""

  def __init__(self, workers: Workers, low: int = 0, high: int | None = None):
    """The rows from `low` to before `high`, or to the end."""
    self._workers, self._low, self._high = workers, low, workers.num_envs if high is None else high
    self._slot = 0
    self._command: Command | None = None  # in flight
    self._ended: Mapping[int, Mapping[str, float]] = {}

  @property
  def num_envs(self) -> int:
    return self._high - self._low

  @property
  def spec(self) -> EnvSpec:
    return self._workers.spec

  @property
  def work(self) -> Work:
    return self._workers.work

  @property
  def faults(self) -> int:
    return self._workers.faults

  @property
  def ended(self) -> Mapping[int, Mapping[str, float]]:
    return self._ended

  def split(self) -> "list[WorkerEnvs]":
    if self.num_envs == 1:
      return [self]
    middle = (self._low + self._high + 1) // 2
    return [WorkerEnvs(self._workers, self._low, middle), WorkerEnvs(self._workers, middle, self._high)]

  def reset(self) -> Transition:
    if self._command:
      self.receive()
    self._begin(restart=True)
    return self.receive()

  def episodes(self) -> list[EpisodeSoFar]:
    return self._workers.journal.episodes(self._low, self._high)

  def resume(self, episodes: Sequence[EpisodeSoFar], newest: Transition) -> np.ndarray:
    if self._command:
      self.receive()
    self._slot = 1 - self._slot
    return self._workers.resume(Command(self._slot, self._low, self._high, replay=True), episodes, newest)

  def send(self, actions: np.ndarray) -> None:
    if self._command:
      raise RuntimeError("send was called twice without receive.")
    self._workers.arrays["action"][1 - self._slot, self._low : self._high] = self.checked_actions(actions)
    self._begin(restart=False)

  def receive(self) -> Transition:
    if not self._command:
      raise RuntimeError("receive was called without send.")
    command, self._command = self._command, None
    self._workers.finish(command)
    self._ended = self._workers.ended(self._low, self._high)
    rows = {name: array[command.slot, command.low : command.high] for name, array in self._workers.arrays.items()}
    return Transition(
      observation={key: rows[key] for key in self.spec.observation},
      action=rows["action"].copy(),
      reward=rows["reward"].copy(),
      is_first=rows["is_first"].copy(),
      is_last=rows["is_last"].copy(),
      is_terminal=rows["is_terminal"].copy(),
    )

  def render(self, index: int) -> np.ndarray:
    if self._command:
      raise RuntimeError("render was called between send and receive.")
    return self._workers.draw(self._low + index)

  def close(self) -> None:
    self._workers.close()

  def _begin(self, *, restart: bool) -> None:
    self._slot = 1 - self._slot
    self._command = Command(self._slot, self._low, self._high)
    self._workers.begin(self._command, restart=restart)
