"""Steps environments with the policy, puts what they show into replay, and tells which episodes ended."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from dreamerax.envs.base import EnvBatch, EpisodeSoFar, Work
from dreamerax.envs.faults import EnvironmentFault
from dreamerax.runtime.checkpoint.leaves import from_leaves, to_leaves
from dreamerax.runtime.checkpoint.metadata import restoring
from dreamerax.runtime.collect.policy import Acting
from dreamerax.runtime.protocol import Carry, Params
from dreamerax.runtime.telemetry.timing import Timer
from dreamerax.types import ArrayDict, Transition


class Rows(Protocol):
  """A place that takes steps, such as a replay."""

  def add(self, transition: Transition, latents: ArrayDict, streams: Sequence[int] | None = None) -> None:
    """Takes the next step [n, ...] of these streams, or of all."""
    ...


class Episode(NamedTuple):
  """A finished episode."""

  stream: int  # which environment
  score: float  # undiscounted return
  length: int  # agent steps
  log: Mapping[str, float] = MappingProxyType({})  # the environment's own numbers


class EpisodeTracker:
  """Sums rewards and counts steps of E streams."""

  def __init__(self, num_envs: int, first: int = 0):
    """first: number of the first stream."""
    self._first = first
    self._scores = np.zeros(num_envs, np.float64)
    self._lengths = np.zeros(num_envs, np.int64)
    self._ended = np.zeros(num_envs, bool)

  def add(self, row: Transition, logs: Mapping[int, Mapping[str, float]] = MappingProxyType({})) -> list[Episode]:
    """Takes the next step of every stream, [E, ...]; returns the episodes that it ends. logs: of these, by place in E."""
    self._scores = np.where(row.is_first, 0, self._scores) + row.reward
    self._lengths = np.where(row.is_first, 0, self._lengths + 1)
    self._ended = row.is_last.copy()
    return [self._episode(i)._replace(log=logs.get(i, {})) for i in np.flatnonzero(row.is_last).tolist()]

  def longer(self, steps: int) -> list[Episode]:
    """The episodes that have exactly `steps` steps and go on; none for 0 steps."""
    reached = np.flatnonzero((self._lengths == steps) & ~self._ended).tolist() if steps else []
    return [self._episode(i) for i in reached]

  def _episode(self, index: int) -> Episode:
    return Episode(self._first + index, float(self._scores[index]), int(self._lengths[index]))

  def state(self) -> dict[str, np.ndarray]:
    """Returns the arrays [E] that `restore` needs."""
    return {"scores": self._scores, "lengths": self._lengths}

  def restore(self, state: Mapping[str, np.ndarray]) -> None:
    """Goes on where the tracker that gave `state` stood."""
    self._scores, self._lengths = state["scores"].copy(), state["lengths"].copy()


class _Part:
  """Environments that are acted in together, and the newest of what they showed."""

  def __init__(self, envs: EnvBatch, first: int):
    self.envs = envs
    self.streams = range(first, first + envs.num_envs)
    self.carry: Carry = None
    self.row: Transition  # nobody has acted on it, unless a step is in flight
    self.ended: Mapping[int, Mapping[str, float]] = {}  # logs of the episodes that the newest row received ends
    self.arrived: Transition | None = None  # the outcome of the step in flight, where that was awaited early
    self.added = np.zeros(envs.num_envs, bool)  # where `row` is in the replay already
    self.failed = False  # the environments have failed for good
    self.tracker = EpisodeTracker(envs.num_envs, first)

  def begin(self) -> None:
    """Begins an episode everywhere."""
    self.row = self.envs.reset()
    self.tracker.add(self.row)

  def await_outcome(self) -> Transition:
    """The outcome of the step in flight, which stays so."""
    # A copy: what environments show is theirs again two steps later.
    self.arrived = outcome = self.arrived or jax.tree.map(np.array, self._receive())
    return outcome

  def receive(self) -> None:
    """Ends the step in flight."""
    self.row, self.arrived = self.arrived or self._receive(), None

  def _receive(self) -> Transition:
    row, self.ended = self.envs.receive(), self.envs.ended
    return row

  def give_up(self) -> None:
    """Ends all episodes in place of the step in flight: where `row`, which is in the replay, is not last, it is shown again."""
    row = jax.tree.map(np.array, self.row)
    self.added, self.failed = row.is_last, True
    none = np.zeros_like(row.is_last)
    self.row = row._replace(
      reward=np.zeros_like(row.reward), is_first=none, is_last=~none, is_terminal=none & row.is_terminal
    )


class Collector:
  """Steps in two halves: `send` lets the policy choose and begins a step, `receive` ends one.

  Where the environments can be split, the parts take turns: while the policy acts in one, the others are in flight.
  """

  def __init__(
    self,
    policy: Acting,
    envs: EnvBatch,
    replay: Rows,
    *,
    calls: int = 0,
    timer: Timer | None = None,
    extra: Mapping[str, Any] | None = None,
  ):
    """Resets the environments, or brings them back to where they were.

    Args:
      policy: explores.
      calls: how often a policy was called before, so that a restart draws new noise.
      timer: sums the sections "policy", "insert" and "envs".
      extra: what `extra()` gave when this policy acted; None begins episodes everywhere.
    """
    self.calls = calls
    self.lost = 0  # environments that could not be brought back; their episodes were cut
    self._envs, self._replay, self._timer = envs, replay, timer or Timer()
    parts, first = [], 0
    for part in envs.split():
      parts.append(_Part(part, first))
      first += part.num_envs
    self._parts = parts
    self._ready = deque(parts)  # whose newest row nobody has acted on
    self._in_flight: deque[_Part] = deque()
    self.follow(policy)
    if extra is None:
      for part in parts:
        part.begin()
    else:
      with restoring():
        self._restore(extra)

  @property
  def faults(self) -> int:
    """The number of times that environments failed and were started again."""
    return self._envs.faults

  @property
  def work(self) -> Work:
    """The work of the environments so far."""
    return self._envs.work

  def follow(self, policy: Acting) -> None:
    """Lets `policy` act from the next step on; it remembers nothing of what was
    before."""
    self._policy = policy
    for part in self._parts:
      part.carry = policy.initial_carry(part.envs.num_envs)

  def send(self, params: Params) -> None:
    """Acts on the newest step of the part whose turn it is, begins its next, and adds the newest with its latents to replay.

    Raises:
      Diverged: an action is not finite.
    """
    part = self._ready.popleft()
    with self._timer("policy"):
      actions, part.carry, latents = self._policy(params, part.carry, part.row, self.calls)
    self.calls += 1
    part.envs.send(actions)
    self._in_flight.append(part)
    with self._timer("insert"):
      self._insert(part, {name: np.asarray(value) for name, value in latents.items()})

  def _insert(self, part: _Part, latents: ArrayDict) -> None:
    """Adds the part's newest row to the replay, but for what is there already."""
    if not part.added.any():
      self._replay.add(part.row, latents, part.streams)
      return
    new, part.added = np.flatnonzero(~part.added), np.zeros_like(part.added)
    if new.size:
      row, latents = jax.tree.map(lambda x: x[new], (part.row, dict(latents)))
      self._replay.add(row, latents, (new + part.streams.start).tolist())

  def receive(self) -> tuple[int, list[Episode]]:
    """Ends the oldest step in flight; nothing while there are parts that have not begun one.

    Returns:
      How many decisions it executed (streams that were reset made none), and the episodes that it ended.

    Raises:
      EnvironmentFault: environments have failed for good; `extra` is still what a run that goes on needs.
    """
    if self._ready:
      return 0, []
    part = self._in_flight.popleft()
    self._ready.append(part)
    with self._timer("envs"):
      try:
        part.receive()
      except EnvironmentFault:
        part.give_up()
        raise
    return int((~part.row.is_first).sum()), part.tracker.add(part.row, part.ended)

  def extra(self) -> dict[str, Any]:
    """Returns what a collector needs to go on as if nothing had happened; arrays [E,
    ...] over all environments.

    Waits for steps in flight, and leaves everything as it is.
    """
    parts = []
    for part in self._parts:
      row = self._newest(part)
      state = {"row": row._asdict(), "carry": to_leaves(part.carry), "tracker": part.tracker.state()}
      flying = np.full(part.envs.num_envs, part in self._in_flight)
      parts.append({**state, "flying": flying, "added": part.added})
    episodes = [
      episode._replace(over=episode.over or part.failed) for part in self._parts for episode in part.envs.episodes()
    ]
    held = None if any(part.failed for part in self._parts) else self._envs.state()
    return {
      **jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts),
      **({} if held is None else {"envs": held}),
      "episodes": {
        "numbers": np.array([episode.number for episode in episodes]),
        "over": np.array([episode.over for episode in episodes]),
        "lengths": np.array([len(episode.actions) for episode in episodes]),
        "actions": np.concatenate([episode.actions for episode in episodes]),
        "logs": np.frombuffer(json.dumps(self._logs_in_flight()).encode(), np.uint8),
      },
    }

  def _logs_in_flight(self) -> dict[int, Mapping[str, float]]:
    """Logs of the episodes that steps in flight end, by stream; of steps that `_newest` has awaited."""
    return {part.streams[i]: dict(log) for part in self._in_flight for i, log in part.ended.items()}

  def _newest(self, part: _Part) -> Transition:
    """Returns the newest row of the part's environments, that of a step in flight
    included."""
    if part in self._in_flight:
      try:
        return part.await_outcome()
      except EnvironmentFault:  # while a run is saved that ends for such a reason
        self._in_flight.remove(part)
        self._ready.append(part)
        part.give_up()
    return part.row

  def _restore(self, extra: Mapping[str, Any]) -> None:
    told = extra["episodes"]
    actions = np.split(told["actions"], np.cumsum(told["lengths"])[:-1])
    columns = zip(told["numbers"].tolist(), actions, told["over"].tolist(), strict=True)
    episodes = [EpisodeSoFar(*column) for column in columns]
    flying = extra["flying"]
    logs = json.loads(told["logs"].tobytes()) if "logs" in told else {}  # older checkpoints have none
    self._ready.clear()
    for part in self._parts:
      mine = slice(part.streams.start, part.streams.stop)
      row = Transition(**jax.tree.map(lambda x: x[mine].copy(), extra["row"]))  # noqa: B023
      if "envs" in extra:  # of a batch that is not split
        part.envs.restore(extra["envs"], episodes[mine], row)
        lost = np.zeros_like(row.is_last)
      else:
        lost = part.envs.resume(episodes[mine], row)
      self.lost += int(lost.sum())
      row = row._replace(is_last=row.is_last | lost)
      carry = from_leaves({name: leaf[mine] for name, leaf in extra["carry"].items()}, part.carry)
      part.carry = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), carry, part.carry)
      part.tracker.restore({name: value[mine] for name, value in extra["tracker"].items()})
      if flying[mine].all():
        part.arrived = row
        part.ended = {i: logs[str(stream)] for i, stream in enumerate(part.streams) if str(stream) in logs}
        self._in_flight.append(part)
        continue
      part.row, part.added = row, extra.get("added", np.zeros(len(flying), bool))[mine].copy()
      self._ready.append(part)
      if flying[mine].any():  # there were more parts than there are now
        before = part.tracker.state()
        part.tracker.add(row)
        after = part.tracker.state()
        part.tracker.restore({name: np.where(flying[mine], after[name], before[name]) for name in after})
