"""Steps environments with the policy, puts what they show into replay, and tells which episodes ended."""

from typing import NamedTuple

import numpy as np

from dreamerax.envs.base import EnvBatch
from dreamerax.replay import Replay
from dreamerax.runtime.policy import Policy, RandomPolicy
from dreamerax.runtime.protocol import Params
from dreamerax.types import Transition


class Episode(NamedTuple):
  """A finished episode."""

  stream: int  # which environment
  score: float  # undiscounted return
  length: int  # agent steps


class EpisodeTracker:
  """Sums rewards and counts steps of E streams."""

  def __init__(self, num_envs: int):
    self._scores = np.zeros(num_envs, np.float64)
    self._lengths = np.zeros(num_envs, np.int64)

  def add(self, row: Transition) -> list[Episode]:
    """Takes the next step of every stream, [E, ...]; returns the episodes that it ends."""
    self._scores = np.where(row.is_first, 0, self._scores) + row.reward
    self._lengths = np.where(row.is_first, 0, self._lengths + 1)
    ended = np.flatnonzero(row.is_last).tolist()
    return [Episode(i, float(self._scores[i]), int(self._lengths[i])) for i in ended]


class Collector:
  """One step in two halves: `send` lets the policy choose and begins the step, `receive` ends it."""

  def __init__(self, policy: Policy | RandomPolicy, envs: EnvBatch, replay: Replay, *, calls: int = 0):
    """Resets the environments.

    Args:
      policy: explores.
      calls: how often a policy was called before, so that a restart draws new noise.
    """
    self.calls = calls
    self._envs, self._replay = envs, replay
    self.follow(policy)
    self._tracker = EpisodeTracker(envs.num_envs)
    self._row = envs.reset()
    self._tracker.add(self._row)

  def follow(self, policy: Policy | RandomPolicy) -> None:
    """From the next step on `policy` acts; it remembers nothing of what was before."""
    self._policy, self._carry = policy, policy.initial_carry(self._envs.num_envs)

  def send(self, params: Params) -> None:
    """Acts on the newest step, begins the next, and adds the newest with its latents to replay.

    Raises:
      Diverged: an action is not finite.
    """
    actions, self._carry, latents = self._policy(params, self._carry, self._row, self.calls)
    self.calls += 1
    self._envs.send(actions)
    self._replay.add(self._row, {name: np.asarray(value) for name, value in latents.items()})

  def receive(self) -> tuple[int, list[Episode]]:
    """Ends the step.

    Returns:
      How many decisions it executed (streams that were reset made none), and the episodes that it ended.
    """
    self._row = self._envs.receive()
    return int((~self._row.is_first).sum()), self._tracker.add(self._row)
