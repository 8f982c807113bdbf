"""Steps environments with the policy, puts what they show into replay, and tells which episodes ended."""

from collections import deque
from typing import NamedTuple

import numpy as np

from dreamerax.envs.base import EnvBatch, Work
from dreamerax.replay import Replay
from dreamerax.runtime.policy import Policy, RandomPolicy
from dreamerax.runtime.protocol import Carry, Params
from dreamerax.runtime.timing import Timer
from dreamerax.types import Transition


class Episode(NamedTuple):
  """A finished episode."""

  stream: int  # which environment
  score: float  # undiscounted return
  length: int  # agent steps


class EpisodeTracker:
  """Sums rewards and counts steps of E streams."""

  def __init__(self, num_envs: int, first: int = 0):
    """first: number of the first stream."""
    self._first = first
    self._scores = np.zeros(num_envs, np.float64)
    self._lengths = np.zeros(num_envs, np.int64)

  def add(self, row: Transition) -> list[Episode]:
    """Takes the next step of every stream, [E, ...]; returns the episodes that it ends."""
    self._scores = np.where(row.is_first, 0, self._scores) + row.reward
    self._lengths = np.where(row.is_first, 0, self._lengths + 1)
    ended = np.flatnonzero(row.is_last).tolist()
    return [Episode(self._first + i, float(self._scores[i]), int(self._lengths[i])) for i in ended]


class _Part:
  """Environments that are acted in together, and the newest of what they showed."""

  def __init__(self, envs: EnvBatch, first: int):
    self.envs = envs
    self.streams = range(first, first + envs.num_envs)
    self.carry: Carry = None
    self.row = envs.reset()
    self.tracker = EpisodeTracker(envs.num_envs, first)
    self.tracker.add(self.row)


class Collector:
  """Steps in two halves: `send` lets the policy choose and begins a step, `receive` ends one.

  Where the environments can be split, the parts take turns: while the policy acts in one, the others are in flight.
  """

  def __init__(
    self,
    policy: Policy | RandomPolicy,
    envs: EnvBatch,
    replay: Replay,
    *,
    calls: int = 0,
    timer: Timer | None = None,
  ):
    """Resets the environments.

    Args:
      policy: explores.
      calls: how often a policy was called before, so that a restart draws new noise.
      timer: sums the sections "policy", "insert" and "envs".
    """
    self.calls = calls
    self._envs, self._replay, self._timer = envs, replay, timer or Timer()
    parts, first = [], 0
    for part in envs.split():
      parts.append(_Part(part, first))
      first += part.num_envs
    self._parts = parts
    self._ready = deque(parts)  # whose newest row nobody has acted on
    self._in_flight: deque[_Part] = deque()
    self.follow(policy)

  @property
  def faults(self) -> int:
    """How often environments failed and were started again."""
    return self._envs.faults

  @property
  def work(self) -> Work:
    """What the environments have worked so far."""
    return self._envs.work

  def follow(self, policy: Policy | RandomPolicy) -> None:
    """From the next step on `policy` acts; it remembers nothing of what was before."""
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
      self._replay.add(part.row, {name: np.asarray(value) for name, value in latents.items()}, part.streams)

  def receive(self) -> tuple[int, list[Episode]]:
    """Ends the oldest step in flight; nothing while there are parts that have not begun one.

    Returns:
      How many decisions it executed (streams that were reset made none), and the episodes that it ended.
    """
    if self._ready:
      return 0, []
    part = self._in_flight.popleft()
    with self._timer("envs"):
      part.row = part.envs.receive()
    self._ready.append(part)
    return int((~part.row.is_first).sum()), part.tracker.add(part.row)
