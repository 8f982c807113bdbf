"""Draws the newest whole episodes of every stream, for methods that learn from what their last policy did."""

from collections.abc import Mapping

import numpy as np

from dreamerax.replay.ring import Ring
from dreamerax.replay.sampling import generator, generator_state, restore_generator


class NewestEpisodes:
  """Picks where the newest whole episodes in a ring start: as many of each stream, in the order of streams, oldest first.

  A whole episode begins at `is_first` and ends at `is_last`, `length` rows in all. What an environment's failure has cut
  short is left out. The same ring gives the same newest ones again. Each may be followed by `older` episodes of any age.
  """

  def __init__(self, ring: Ring, length: int, count: int, *, older: int = 0, seed: int = 0):
    """
    Args:
      count: episodes that a draw takes, of which one in 1 + older is among the newest.
      seed: of the others.

    Raises:
      ValueError: the streams do not share the newest ones evenly.
    """
    newest, group = count // (1 + older), 1 + older
    if newest % ring.streams:
      of = f", 1 in {group} of them new," if older else ""
      raise ValueError(
        f"replay.batch_size={count} episodes{of} do not come evenly from {ring.streams} environments: give "
        f"--replay.batch-size {-(-newest // ring.streams) * ring.streams * group}, or --num-envs that divides it"
      )
    self._ring, self._length, self._each = ring, length, newest // ring.streams
    self._older, self._rng = older, generator(seed)

  @property
  def sequences(self) -> int:
    """The number of episodes that can be drawn; 0 as long as a stream has too few."""
    counts = [len(self._newest(stream, self._each)) for stream in range(self._ring.streams)]
    return sum(counts) if min(counts) == self._each else 0

  def appended(self, streams: np.ndarray) -> None:
    """Looks at the newest row of each of `streams`.

    Raises:
      ValueError: an episode has another length, and no whole one came before it in its stream.
    """
    for stream in streams.tolist():
      rows, (flags, _) = self._length_of_newest(stream), self._newest_rows(stream, 1)
      last, terminal = bool(flags["is_last"][0]), bool(flags["is_terminal"][0])
      wrong = rows > self._length if not last else rows != self._length
      if wrong and (terminal or rows > self._length or not self._newest(stream, 1).size):
        way_out = (
          "choose a --task whose episodes are all of one length" if terminal else "set --replay.batch-length to it"
        )
        raise ValueError(
          f"replay.draw='newest' takes whole episodes of replay.batch_length={self._length} rows, the first included, and "
          f"one of environment {stream} {'has' if last else 'goes on after'} {rows if last else self._length}: {way_out}"
        )

  def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Streams [count] and positions [count] of the first rows of `count` episodes: a new one, `older` others, and so on.

    Raises:
      ValueError: a stream holds too few whole episodes.
    """
    starts = [self._newest(stream, self._each) for stream in range(self._ring.streams)]
    least = min(len(each) for each in starts)
    if least < self._each:
      raise ValueError(
        f"an environment has {least} whole episodes in replay, and replay.batch_size={count} takes {self._each} of each: "
        "raise the prefill, or replay.capacity"
      )
    newest = np.stack([np.repeat(np.arange(self._ring.streams), self._each), np.concatenate(starts)], -1)
    if not self._older:
      return newest[:, 0], newest[:, 1]
    held = self._ring.rows // self._length + 1  # more than any stream has
    stored = [(stream, start) for stream in range(self._ring.streams) for start in self._newest(stream, held)]
    others = np.array(stored)[self._rng.integers(len(stored), size=(len(newest), self._older))]
    rows = np.concatenate([newest[:, None], others], 1).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]

  def state(self) -> dict[str, np.ndarray]:
    """Returns what decides the next episodes of any age besides the ring; nothing where there are none."""
    return {"random": generator_state(self._rng)} if self._older else {}

  def restore(self, state: Mapping[str, np.ndarray]) -> None:
    """Continues where what gave this `state` stood."""
    if self._older and "random" in state:
      restore_generator(self._rng, state["random"])

  def _newest(self, stream: int, count: int) -> np.ndarray:
    """Positions of the first rows of up to `count` whole episodes of a stream, oldest first.

    Looks at the rows of twice as many episodes and one, so that few may be cut short.
    """
    flags, begin = self._newest_rows(stream, (2 * count + 1) * self._length)
    first, last = (np.flatnonzero(flags[name]) for name in ("is_first", "is_last"))
    ends = first + self._length - 1
    following = np.append(first[1:], len(flags["is_first"]))
    return begin + first[np.isin(ends, last) & (ends < following)][-count:]

  def _length_of_newest(self, stream: int) -> int:
    """How many rows the newest episode of a stream has so far, up to one more than it should."""
    flags, _ = self._newest_rows(stream, self._length + 1)
    first = flags["is_first"]
    return int(first[::-1].argmax()) + 1 if first.any() else len(first)

  def _newest_rows(self, stream: int, count: int) -> tuple[dict[str, np.ndarray], int]:
    """Where the newest `count` rows of a stream begin and end episodes, and the position of the first of them."""
    ring = self._ring
    begin = max(int(ring.oldest[stream]), int(ring.written[stream]) - count)
    rows = np.arange(begin, ring.written[stream]) % ring.rows
    return {name: ring.columns[name][stream, rows] for name in ("is_first", "is_last", "is_terminal")}, begin
