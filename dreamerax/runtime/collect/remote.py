"""Collects experience that actors elsewhere make in whole chunks of steps."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from dreamerax.envs.base import Work
from dreamerax.envs.faults import EnvironmentFault, last_line
from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint.metadata import restoring
from dreamerax.runtime.collect.collector import Episode, EpisodeTracker
from dreamerax.runtime.collect.policy import Acting
from dreamerax.runtime.protocol import Params
from dreamerax.runtime.telemetry.timing import Timer
from dreamerax.types import ArrayDict, EnvSpec, Transition

_log = logging.getLogger(__name__)

AHEAD = 2  # chunks that an actor is asked for and has not given: it makes one while the other is on its way
_FAULTS = 5  # an actor that is lost so often without giving a chunk will not get better


class Chunk(NamedTuple):
  """K steps of an actor's environments, in order."""

  rows: Transition  # [K, e, ...]
  latents: ArrayDict  # [K, e, ...]
  work: Work  # that they took
  ended: Sequence[Mapping[int, Mapping[str, float]]]  # [K] logs of the episodes that each step ends, by place in e


class Lost(NamedTuple):
  """An actor is gone, and with it what it was asked for."""

  reason: str


class Actors(Protocol):
  """Processes that step environments: each has some streams, and acts with the
  parameters that were published last."""

  @property
  def spec(self) -> EnvSpec:
    """The spec of all environments."""
    ...

  @property
  def streams(self) -> Sequence[range]:
    """The streams of each actor; all streams in order."""
    ...

  def publish(self, params: Params) -> None:
    """Lets actors act with these parameters in what they are asked for from now on."""
    ...

  def ask(self, actor: int, *, random: bool) -> None:
    """Queues a chunk with an actor; it is not made a second time. random: uniform actions."""
    ...

  def receive(self) -> tuple[int, Chunk | Lost]:
    """Waits for the next answer, which may come from any actor."""
    ...

  def restart(self, actor: int) -> None:
    """Puts another in the place of one that was lost; its environments begin episodes of other seeds."""
    ...

  def close(self) -> None: ...


class RemoteCollector:
  """Stands in for `Collector`: `send` asks actors for chunks, `receive` puts one into replay.

  An actor is at most `AHEAD` chunks ahead, and steps count when they arrive: the train ratio holds for what is in the replay,
  and actors wait where updates are slower than they. Parameters are published once every actor has given a chunk on average.

  A lost actor's episodes end: a row that repeats the last one, with reward 0, is last and not terminal. It is no step of an
  environment and not counted as one. Which chunk comes first is up to the clock.
  """

  calls: int
  """The number of calls of `send`."""
  lost: int
  """Episodes that had begun before this collector did, and were cut."""
  faults: int
  """The number of times that an actor was lost."""
  work: Work
  """The work of all environments, in the chunks that have arrived."""

  def __init__(
    self,
    policy: Acting,
    actors: Actors,
    replay: Replay,
    *,
    calls: int = 0,
    timer: Timer | None = None,
    extra: Mapping[str, Any] | None = None,
  ):
    """
    Args:
      policy: whether actors choose by their own copy of the agent's policy, or by chance.
      actors: have as many streams as the replay; belong to the caller.
      extra: what `extra()` gave: the episodes that had begun then are closed in the replay.
    """
    self.calls, self.lost, self.faults, self.work = calls, 0, 0, Work()
    self._actors, self._replay, self._timer = actors, replay, timer or Timer()
    self._random = policy.uniform
    self._asked = [0] * len(actors.streams)  # chunks that each still owes
    self._failed = [0] * len(actors.streams)  # times that each was lost since its last chunk
    self._newest: list[tuple[Transition, ArrayDict] | None] = [None] * len(actors.streams)  # [e, ...]
    self._trackers = [EpisodeTracker(len(streams), streams.start) for streams in actors.streams]
    self._unpublished = len(actors.streams)  # chunks since parameters were published
    if extra and len(extra["streams"]):
      with restoring():
        self._close(Transition(**extra["row"]), extra["latents"], extra["streams"])
      self.lost = len(extra["streams"])

  def follow(self, policy: Acting) -> None:
    """Chunks that are asked for from now on are made so; episodes go on."""
    self._random = policy.uniform

  def send(self, params: Params) -> None:
    """Publishes the parameters where it is time to, and asks every actor for what it may be ahead."""
    self.calls += 1
    if self._unpublished >= len(self._asked):
      with self._timer("policy"):
        self._actors.publish(params)
      self._unpublished = 0
    for ahead in range(AHEAD):
      for actor, asked in enumerate(self._asked):
        if asked <= ahead:
          self._actors.ask(actor, random=self._random)
    self._asked = [AHEAD] * len(self._asked)

  def receive(self) -> tuple[int, list[Episode]]:
    """Waits for a chunk and adds it to the replay; nothing where an actor was lost instead.

    Returns:
      How many decisions are in it, and the episodes that ended.

    Raises:
      EnvironmentFault: an actor is lost again and again, or its environments have failed for good.
    """
    with self._timer("envs"):
      actor, answer = self._actors.receive()
    if isinstance(answer, Lost):
      self._replace(actor, answer)
      return 0, []
    self._asked[actor] -= 1
    self._failed[actor] = 0
    self._unpublished += 1
    self.work = Work(self.work.total + answer.work.total, self.work.rendering + answer.work.rendering)
    episodes = []
    with self._timer("insert"):
      for step in range(len(answer.rows.reward)):
        row, latents = _take(answer.rows, step), {name: array[step] for name, array in answer.latents.items()}
        self._replay.add(row, latents, self._actors.streams[actor])
        episodes += self._trackers[actor].add(row, answer.ended[step])
        self._newest[actor] = row, latents
    return int((~answer.rows.is_first).sum()), episodes

  def extra(self) -> dict[str, Any]:
    """The newest rows of episodes that have begun, which is all that is left of them after a restart; changes nothing."""
    parts = [part for actor in range(len(self._asked)) if (part := self._unfinished(actor))]
    if not parts:
      return {"streams": np.zeros(0, np.int64)}
    rows, latents, streams = zip(*parts, strict=True)
    return {
      "row": _concatenate([row._asdict() for row in rows]),
      "latents": _concatenate(latents),
      "streams": np.concatenate(streams),
    }

  def _replace(self, actor: int, lost: Lost) -> None:
    self.faults += 1
    self._failed[actor] += 1
    name = f"actor {actor} (environments {', '.join(map(str, self._actors.streams[actor]))})"
    if self._failed[actor] == _FAULTS:
      raise EnvironmentFault(
        f"{name} was lost {_FAULTS} times and made no step between, the last time so: {last_line(lost.reason)}"
      )
    _log.warning("%s is gone and another takes its place; its episodes end here. What it said: %s", name, lost.reason)
    if unfinished := self._unfinished(actor):
      self._close(*unfinished)
    streams = self._actors.streams[actor]
    self._trackers[actor] = EpisodeTracker(len(streams), streams.start)
    self._newest[actor], self._asked[actor] = None, 0
    self._actors.restart(actor)

  def _unfinished(self, actor: int) -> tuple[Transition, ArrayDict, np.ndarray] | None:
    """The newest row, latents and streams of the actor's episodes that have begun and not ended; None if there are none."""
    newest = self._newest[actor]
    if newest is None or newest[0].is_last.all():
      return None
    row, latents = newest
    going = np.flatnonzero(~row.is_last)
    streams = going + self._actors.streams[actor].start
    return _take(row, going), {name: array[going] for name, array in latents.items()}, streams

  def _close(self, row: Transition, latents: ArrayDict, streams: np.ndarray) -> None:
    """Ends episodes [n, ...] in the replay after their newest rows."""
    none = np.zeros(len(streams), bool)
    end = row._replace(reward=np.zeros_like(row.reward), is_first=none, is_last=~none, is_terminal=none)
    self._replay.add(end, latents, streams.tolist())


def _take(rows: Transition, index: Any) -> Transition:
  taken = {name: getattr(rows, name)[index] for name in Transition._fields if name != "observation"}
  return Transition(observation={name: array[index] for name, array in rows.observation.items()}, **taken)


def _concatenate(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Dicts of arrays, to any depth, along the first axis."""
  return {
    name: _concatenate([part[name] for part in parts])
    if isinstance(parts[0][name], Mapping)
    else np.concatenate([part[name] for part in parts])
    for name in parts[0]
  }
