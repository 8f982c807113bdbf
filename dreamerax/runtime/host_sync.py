"""Sums numbers over the hosts of a run once in every iteration, so that all of them do the same at the same time."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from dreamerax.replay import Replay
from dreamerax.runtime.collect.collector import Episode
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.errors import Interrupted
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.settings import LoopConfig


class Turn(NamedTuple):
  """One iteration: of one host, or summed over all. Whole numbers, but for scores and seconds."""

  agent_steps: float = 0  # decisions that ended
  episodes: float = 0  # that ended
  score: float = 0  # of these, summed
  length: float = 0  # of these, agent steps, summed
  stored: float = 0  # steps in the replay
  ready: float = 0  # whether the replay has a sequence to train on; how many hosts do
  faults: float = 0  # of environments, so far
  stopping: float = 0  # whether somebody asked this host to save and leave; how many were asked
  elapsed: float = 0  # seconds that host 0 has trained; 0 on the others
  unsaved: float = 0  # whether host 0 could not save the newest checkpoint; 0 on the others
  logged: float = 0  # of the episodes, those in which the environment gave numbers of its own

  @classmethod
  def of(cls, replay: Replay, agent_steps: int = 0, episodes: Sequence[Episode] = ()) -> "Turn":
    """Counts what one host has collected in a turn, and what its replay then holds."""
    return cls(
      agent_steps=agent_steps,
      episodes=len(episodes),
      score=sum(episode.score for episode in episodes),
      length=sum(episode.length for episode in episodes),
      stored=replay.steps,
      ready=replay.sequences > 0,
      logged=sum(bool(episode.log) for episode in episodes),
    )

  @property
  def mean_episode(self) -> list[tuple[float, float]]:
    """Score and length, where one has ended."""
    return [(self.score / self.episodes, self.length / self.episodes)] if self.episodes else []

  def is_filled(self, config: LoopConfig, hosts: int) -> bool:
    """Whether there is enough in the replay to train on, on every host."""
    return self.stored >= config.prefill_steps and self.ready == hosts


class Agreement:
  """The newest turn of all hosts. With one host it is that one's, and nothing is waited for."""

  def __init__(self, hosts: Hosts, stop: StopSignals, replay: Replay):
    """All hosts call it.

    Raises:
      HostLost: another host has ended.
    """
    self.hosts, self._stop = hosts, stop
    self.turn = Turn()
    self._names: list[str] = []  # of environments' own numbers that a host has met; alike on all
    self.all_reduce(Turn.of(replay))

  def all_reduce(self, own: Turn) -> Turn:
    """Sums a turn over all hosts, which all call it. Whether to stop is added here.

    Raises:
      HostLost: another host has ended.
    """
    own = own._replace(stopping=self._stop.requested)
    self.turn = own if self.hosts.count == 1 else Turn(*self.hosts.sum(own).tolist())
    return self.turn

  def mean_logs(self, episodes: Sequence[Episode]) -> dict[str, float]:
    """Environments' own numbers, as means over the episodes of all hosts that ended in the newest turn; all hosts call it.

    Args:
      episodes: of this host.

    Raises:
      HostLost: another host has ended.
    """
    if not self.turn.logged:
      return {}
    own = {name for episode in episodes for name in episode.log}
    if self.hosts.sum([not own <= {*self._names}])[0]:
      every = self.hosts.gather(json.dumps([*self._names, *own]))
      self._names = sorted({name for names in every for name in json.loads(names)})
    given = [[episode.log[name] for episode in episodes if name in episode.log] for name in self._names]
    totals = self.hosts.sum([number for values in given for number in (sum(values), len(values))])
    pairs = zip(self._names, totals.reshape(-1, 2).tolist(), strict=True)
    return {name: total / count for name, (total, count) in pairs if count}

  def check_stop(self) -> None:
    """
    Raises:
      Interrupted: somebody asked any of the hosts to save and leave, by the turn that all know of.
    """
    if self.hosts.count == 1:
      self._stop.check()
    elif self.turn.stopping:
      raise Interrupted

  def check_within_turn(self) -> None:
    """Between two turns only a run on one host may be left.

    Raises:
      Interrupted: somebody asked it to.
    """
    if self.hosts.count == 1:
      self._stop.check()

  def check_alone(self) -> None:
    """Checks for a signal where a host is by itself, and the others wait for it.

    Raises:
      Interrupted: this host was asked to stop; with several of them it has to tell so at the next turn.
    """
    self._stop.check()
