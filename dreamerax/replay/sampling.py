"""Chooses the sequences to train on: the newest once, then all uniformly."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamerax.replay.ring import Ring


class Sampler:
  """Picks where sequences start in a ring.

  Online queue: the rows of each stream, cut into consecutive sequences, are handed out once each as soon as they are
  complete, oldest first; what was overwritten before its turn is skipped. When the queue is empty, starts are drawn
  uniformly over every place in every stream where a whole sequence is stored, so long streams are drawn in proportion.
  """

  def __init__(self, ring: Ring, sequence: int, *, online: bool, seed: int):
    self._ring = ring
    self._sequence = sequence
    self._online = online
    self._queue: deque[tuple[int, int]] = deque()
    self._rng = generator(seed)

  @property
  def sequences(self) -> int:
    """The number of different sequences that are stored."""
    return int(self._starts().sum())

  def appended(self, streams: np.ndarray) -> None:
    """Queues the sequences that the newest row of each of `streams` completed."""
    if not self._online:
      return
    written = self._ring.written[streams]
    for index in np.flatnonzero(written % self._sequence == 0).tolist():
      self._queue.append((int(streams[index]), int(written[index]) - self._sequence))
    # A replay that is filled and not sampled must not grow a queue of overwritten sequences.
    while self._queue and not self._ring.holds(*self._queue[0]):
      self._queue.popleft()

  def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Streams [count] and positions [count] at which `count` sequences start.

    Raises:
      ValueError: no stream holds a whole sequence.
    """
    starts = self._starts()
    total = int(starts.sum())
    if total == 0:
      raise ValueError(
        f"the longest stream in replay has {int(self._ring.stored.max())} steps and a sequence needs {self._sequence}: "
        "collect more before the first update (raise the prefill), or lower replay.batch_length"
      )
    newest = self._take_newest(count)
    ends = np.cumsum(starts)
    draws = self._rng.integers(total, size=count - len(newest))
    streams = np.searchsorted(ends, draws, side="right")
    positions = self._ring.oldest[streams] + draws - (ends - starts)[streams]
    queued = np.array(newest, np.int64).reshape(-1, 2)
    return np.concatenate([queued[:, 0], streams]), np.concatenate([queued[:, 1], positions])

  def state(self) -> dict[str, np.ndarray]:
    """Returns what decides the next draws besides the ring: "random" [6] uint64, and
    "queue" [n, 2] int64, oldest first."""
    return {"random": generator_state(self._rng), "queue": np.array(self._queue, np.int64).reshape(-1, 2)}

  def restore(self, state: Mapping[str, np.ndarray]) -> None:
    """Continues where the sampler that gave this `state` stood; sequences that the ring does not hold are left out."""
    restore_generator(self._rng, state["random"])
    written = self._ring.written
    queued = [(stream, position) for stream, position in state["queue"].tolist() if stream < self._ring.streams]
    self._queue = deque(
      (stream, position)
      for stream, position in queued
      if self._ring.holds(stream, position) and position + self._sequence <= written[stream]
    )

  def _starts(self) -> np.ndarray:
    """Counts the places of each stream where a sequence can start, [streams]."""
    return np.maximum(self._ring.stored - self._sequence + 1, 0)

  def _take_newest(self, count: int) -> list[tuple[int, int]]:
    taken = []
    while self._queue and len(taken) < count:
      candidate = self._queue.popleft()
      if self._ring.holds(*candidate):
        taken.append(candidate)
    return taken


def generator(seed: int) -> np.random.Generator:
  """What default_rng gives; `restore_generator` relies on its kind."""
  return np.random.Generator(np.random.PCG64(seed))


def generator_state(rng: np.random.Generator) -> np.ndarray:
  """What decides the next draws of a `generator`, [6] uint64."""
  state: dict[str, Any] = dict(rng.bit_generator.state)
  numbers = [state["state"]["state"], state["state"]["inc"]]
  words = [word for number in numbers for word in divmod(number, 2**64)]
  return np.array([*words, state["has_uint32"], state["uinteger"]], np.uint64)


def restore_generator(rng: np.random.Generator, state: np.ndarray) -> None:
  """Takes back what `generator_state` gave."""
  words = [int(word) for word in state]
  rng.bit_generator.state = {
    "bit_generator": "PCG64",
    "state": {"state": words[0] << 64 | words[1], "inc": words[2] << 64 | words[3]},
    "has_uint32": words[4],
    "uinteger": words[5],
  }
