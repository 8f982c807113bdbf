"""Draws the newest whole episodes of every stream, for methods that learn from what their last policy did."""

from collections.abc import Mapping

import numpy as np

from dreamerax.replay.ring import Ring


class NewestEpisodes:
  """Picks where the newest whole episodes in a ring start: as many of each stream, in the order of streams, oldest first.

  A whole episode begins at `is_first` and ends at `is_last`, `length` rows in all. What an environment's failure has cut
  short is left out. The same ring gives the same draw again.
  """

  def __init__(self, ring: Ring, length: int, count: int):
    """count: episodes that a draw takes. Raises ValueError: the streams do not share them evenly."""
    if count % ring.streams:
      raise ValueError(
        f"replay.batch_size={count} episodes do not come evenly from {ring.streams} environments: give --replay.batch-size "
        f"{-(-count // ring.streams) * ring.streams}, or --num-envs that divides it"
      )
    self._ring, self._length, self._each = ring, length, count // ring.streams

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
    """Streams [count] and positions [count] of the first rows of `count` episodes.

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
    return np.repeat(np.arange(self._ring.streams), self._each), np.concatenate(starts)

  def state(self) -> dict[str, np.ndarray]:
    """Returns nothing: the ring decides."""
    return {}

  def restore(self, state: Mapping[str, np.ndarray]) -> None:
    """Has nothing to do."""

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
