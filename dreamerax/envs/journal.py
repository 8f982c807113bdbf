"""Keeps the numbers, seeds and actions that bring the episodes of E streams back."""

from collections.abc import Sequence

import numpy as np

from dreamerax.envs.base import EpisodeSoFar, Step
from dreamerax.types import Transition


def derive_seeds(seed: int, count: int) -> list[int]:
  """`count` seeds of 32 bits, one per environment. More environments leave the first ones' seeds as they are."""
  return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(count)]


def episode_seed(stream_seed: int, number: int) -> int:
  """32 bits, for the episode with this number, from 0, of the stream with this seed."""
  return int(np.random.SeedSequence([stream_seed, number]).generate_state(1)[0])


class Journal:
  """Numbers the episodes of E streams, and keeps the actions of each one's newest."""

  def __init__(self, seeds: Sequence[int], action_size: int):
    """seeds: one for each stream."""
    self.over = np.ones(len(seeds), bool)  # the newest row is an episode's last, or there is none
    self._seeds = list(seeds)
    self._action_size = action_size
    self._begun = [-1] * len(seeds)  # number of the episode that was begun last
    self._received = [-1] * len(seeds)  # number of the newest row's episode
    self._actions: list[list[np.ndarray]] = [[] for _ in seeds]  # since it began

  def seed(self, stream: int, number: int) -> int:
    """Derives the seed of the stream's episode with this number."""
    return episode_seed(self._seeds[stream], number)

  def begin(self, stream: int) -> int:
    """Counts an episode that the stream begins now; returns its seed."""
    self._begun[stream] += 1
    return self.seed(stream, self._begun[stream])

  def receive(self, low: int, action: np.ndarray, is_first: np.ndarray, is_last: np.ndarray) -> None:
    """Takes the next row of each stream from `low` on: [n, A] and two of [n]."""
    for stream, (taken, first) in enumerate(zip(action, is_first, strict=True), low):
      if first:
        self._received[stream], self._actions[stream] = self._begun[stream], []
      else:
        self._actions[stream].append(taken.copy())
    self.over[low : low + len(is_last)] = is_last

  def episodes(self, low: int, high: int) -> list[EpisodeSoFar]:
    """Returns the newest episodes of the streams from `low` to before `high`."""
    return [
      EpisodeSoFar(
        self._received[stream],
        np.array(self._actions[stream], np.float32).reshape(-1, self._action_size),
        bool(self.over[stream]),
      )
      for stream in range(low, high)
    ]

  def resume(self, low: int, episodes: Sequence[EpisodeSoFar], gone: np.ndarray) -> None:
    """Goes on from `episodes`, those of the streams from `low` on; where `gone` [n] holds, they are over."""
    for stream, (episode, lost) in enumerate(zip(episodes, gone, strict=True), low):
      self._begun[stream] = self._received[stream] = episode.number
      self._actions[stream] = list(episode.actions)
      self.over[stream] = episode.over or lost


def is_row(step: Step, rows: Transition, index: int) -> bool:
  """Whether `step` is what `rows` [E, ...] hold at `index`, to the bit; actions are not compared."""
  pairs = [(value, rows.observation[key]) for key, value in step.observation.items()]
  pairs += [(getattr(step, name), getattr(rows, name)) for name in ("reward", "is_first", "is_last", "is_terminal")]
  return all(np.asarray(value, row.dtype).tobytes() == row[index].tobytes() for value, row in pairs)
