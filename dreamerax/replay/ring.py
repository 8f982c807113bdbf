"""Keeps the newest rows of each stream in ring storage, column by column."""

from collections.abc import Iterable, Mapping

import numpy as np

from dreamerax.types import ArraySpec


class Ring:
  """Ring storage: columns of shape [streams, rows, ...] that overwrite their oldest
  rows.

  A row is known by its stream and its position: how many rows its stream received before it. Positions only grow, so
  they double as generation tags: position p lives in slot p % rows until position p + rows replaces it. Env-major, so
  that a sequence is one contiguous copy (two where it runs over the end of the ring).
  """

  def __init__(self, columns: Mapping[str, ArraySpec], streams: int, rows: int):
    """Reserves the columns. The operating system hands out memory pages only when rows are first written.

    Raises:
      ValueError: the operating system refuses to reserve that much.
    """
    self.streams = streams
    self.rows = rows
    self._specs = columns
    self.written = np.zeros(streams, np.int64)  # rows ever received, for each stream
    self._begun = np.zeros(streams, np.int64)  # position of the first row of each stream that was ever held
    try:
      self.columns = {name: np.empty((streams, rows, *spec.shape), spec.dtype) for name, spec in columns.items()}
    except MemoryError as error:
      raise ValueError(
        f"the replay could not reserve its memory ({error}): lower replay.capacity or replay.max_bytes"
      ) from error

  def empty(self, streams: int) -> "Ring":
    """Another with the same columns and as many rows for each stream."""
    return Ring(self._specs, streams, self.rows)

  @property
  def nbytes(self) -> int:
    return sum(column.nbytes for column in self.columns.values())

  @property
  def stored(self) -> np.ndarray:
    """Rows now held by each stream, [streams]."""
    return np.minimum(self.written - self._begun, self.rows)

  @property
  def oldest(self) -> np.ndarray:
    """Position of the oldest row held by each stream, [streams]; that of its next row where it holds none."""
    return self.written - self.stored

  def begin(self, stream: int, position: int) -> None:
    """Forgets the rows of a stream; its next row is the one at `position`."""
    self.written[stream] = self._begun[stream] = position

  def holds(self, stream: int, position: int) -> bool:
    """Whether a row that the stream received has not been overwritten."""
    return position >= max(self.written[stream] - self.rows, self._begun[stream])

  def append(self, streams: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Adds one row to each of `streams` (distinct); values are [len(streams), ...] for every column."""
    slots = self.written[streams] % self.rows
    for name, column in self.columns.items():
      column[streams, slots] = values[name]
    self.written[streams] += 1

  def read(
    self, names: Iterable[str], streams: np.ndarray, positions: np.ndarray, length: int
  ) -> dict[str, np.ndarray]:
    """Copies `length` rows from each position: {name: [len(streams), length, ...]}, in freshly allocated arrays."""
    pairs = []
    for name in names:
      column = self.columns[name]
      pairs.append((name, column, np.empty((len(streams), length, *column.shape[2:]), column.dtype)))
    for index, (stream, slot) in enumerate(zip(streams.tolist(), (positions % self.rows).tolist(), strict=True)):
      head = min(length, self.rows - slot)
      for _, column, out in pairs:
        out[index, :head] = column[stream, slot : slot + head]
        if head < length:
          out[index, head:] = column[stream, : length - head]
    return {name: out for name, _, out in pairs}

  def export(self, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Copies of columns, all rows held: {name: [rows held by all streams, ...]}, stream after stream, oldest first."""
    stored = self.stored.tolist()
    result = {}
    for name in names:
      column = self.columns[name]
      result[name], end = np.empty((sum(stored), *column.shape[2:]), column.dtype), 0
      for stream, (oldest, count) in enumerate(zip(self.oldest.tolist(), stored, strict=True)):
        slots = np.arange(oldest, oldest + count) % self.rows
        result[name][end : end + count] = column[stream, slots]
        end += count
    return result

  def update(self, held: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Replaces what `export` gave when each stream held the positions [held[s, 0], held[s, 1]); not rows that are gone."""
    end = 0
    for stream, (first, last) in enumerate(held.tolist()):
      count = min(last, int(self.written[stream])) - first
      if count > 0:
        rows = {name: value[None, end : end + count] for name, value in values.items()}
        self.write(np.array([stream]), np.array([first]), rows)
      end += last - first

  def write(self, streams: np.ndarray, positions: np.ndarray, values: Mapping[str, np.ndarray]) -> int:
    """Replaces rows from each position on by values [len(streams), length, ...], except those overwritten meanwhile.

    Where sequences overlap, the later one wins. Returns the number of rows replaced.
    """
    length = next(iter(values.values())).shape[1]
    count, oldest = 0, self.oldest
    for index, (stream, position) in enumerate(zip(streams.tolist(), positions.tolist(), strict=True)):
      gone = min(max(int(oldest[stream]) - position, 0), length)
      slot = (position + gone) % self.rows
      head = gone + min(length - gone, self.rows - slot)
      for name, value in values.items():
        column = self.columns[name]
        column[stream, slot : slot + head - gone] = value[index, gone:head]
        if head < length:
          column[stream, : length - head] = value[index, head:]
      count += length - gone
    return count
