"""Begins to collect experience: in environments of this process, or by actors elsewhere."""

from collections.abc import Mapping
from typing import Any, Protocol

from dreamerax.envs.base import EnvBatch
from dreamerax.replay import Replay
from dreamerax.runtime.collect.collector import Collector
from dreamerax.runtime.collect.policy import Acting
from dreamerax.runtime.collect.protocol import Collecting
from dreamerax.runtime.collect.remote import Actors, RemoteCollector
from dreamerax.runtime.telemetry.timing import Timer
from dreamerax.types import EnvSpec


class ExperienceSource(Protocol):
  """Environments that a run collects in, wherever they step."""

  @property
  def spec(self) -> EnvSpec:
    """The observations that each of them shows, and the actions that it takes."""
    ...

  @property
  def forgets(self) -> bool:
    """Whether episodes that have begun are always cut short where a run goes on."""
    ...

  def collector(
    self, policy: Acting, replay: Replay, *, calls: int, timer: Timer, left: Mapping[str, Any]
  ) -> Collecting:
    """Begins to collect.

    Args:
      policy: acts at first.
      calls: how often a policy was called before.
      left: what `Collecting.extra` gave before a restart. Of the other kind of source it is of no use, and episodes
        begin anew.
    """
    ...

  def close(self) -> None: ...


class LocalSource:
  """Environments of this process and its workers."""

  def __init__(self, envs: EnvBatch):
    """envs: closed with the source."""
    self._envs = envs

  @property
  def spec(self) -> EnvSpec:
    return self._envs.spec

  @property
  def forgets(self) -> bool:
    return self._envs.forgets

  def collector(
    self, policy: Acting, replay: Replay, *, calls: int, timer: Timer, left: Mapping[str, Any]
  ) -> Collecting:
    extra = left if "episodes" in left else None
    return Collector(policy, self._envs, replay, calls=calls, timer=timer, extra=extra)

  def close(self) -> None:
    self._envs.close()


class RemoteSource:
  """Environments that actors step."""

  def __init__(self, actors: Actors):
    """actors: closed with the source."""
    self._actors = actors

  @property
  def spec(self) -> EnvSpec:
    return self._actors.spec

  @property
  def forgets(self) -> bool:
    return False

  def collector(
    self, policy: Acting, replay: Replay, *, calls: int, timer: Timer, left: Mapping[str, Any]
  ) -> Collecting:
    extra = left if "streams" in left else None
    return RemoteCollector(policy, self._actors, replay, calls=calls, timer=timer, extra=extra)

  def close(self) -> None:
    self._actors.close()
