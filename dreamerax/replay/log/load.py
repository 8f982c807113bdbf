"""Puts the rows of a log back into a ring, and marks where rows are missing."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dreamerax.replay.log.segment import Layout
from dreamerax.replay.ring import Ring

_LONGEST_GAP = 4  # a gap of more than this part of a stream's rows is not filled


class Loaded(NamedTuple):
  """The result of loading a log into a replay."""

  rows: np.ndarray  # [streams] int64, rows now held, those filled in included
  skipped: int  # damaged records, whether or not they would still be held
  missing: int  # rows that were filled in, or given up with what came before them
  complete: bool  # whether the ring holds exactly the rows that it held then

  @property
  def steps(self) -> int:
    """Rows now held, over all streams."""
    return int(self.rows.sum())


class Loader:
  """Fills an empty ring with rows of known positions.

  Where positions of a stream are missing between two rows, the rows would join episodes that do not belong together. So the
  row before the gap becomes the last of its episode (not terminal: its value is still bootstrapped). Each missing row
  becomes a copy of it with zero action and reward, an episode of its own (is_first and is_last). The row after the gap
  becomes the first of an episode, with zero action and reward. A gap of more than a quarter of the ring's rows is not
  filled: that stream then holds only what follows it. Rows missing before a stream's first one are no gap.
  """

  def __init__(self, ring: Ring, layout: Layout):
    self._ring, self._layout = ring, layout
    self._missing = 0
    self._repaired = np.full(ring.streams, -1)  # position of the newest row that is not as it was

  def load(self, blocks: Iterable[np.ndarray], written: Sequence[int] | None) -> tuple[int, bool]:
    """Puts records [n, record_bytes] in order into the ring.

    Args:
      written: rows that each stream had received at the end, [streams]; None for those of the last records.

    Returns:
      How many rows were missing, and whether the ring is now what it was then.
    """
    ring = self._ring
    for records in blocks:
      for first in range(0, len(records), ring.rows):  # no slot twice in one assignment
        self._place(records[first : first + ring.rows])
    for stream, end in enumerate([] if written is None else written):
      if end > ring.written[stream]:
        self._skip(stream, end)
    whole = (ring.oldest == np.maximum(ring.written - ring.rows, 0)) & (self._repaired < ring.oldest)
    return self._missing, bool(whole.all())

  def _place(self, records: np.ndarray) -> None:
    ring = self._ring
    streams, positions, values = self._layout.unpack(records)
    own = {stream: positions[streams == stream] for stream in np.unique(streams).tolist()}
    for stream, each in own.items():
      if ring.stored[stream] == 0:
        ring.begin(stream, int(each[0]))
    if all(each[0] == ring.written[stream] and (np.diff(each) == 1).all() for stream, each in own.items()):
      for name, column in ring.columns.items():
        column[streams, positions % ring.rows] = values[name]
      np.maximum.at(ring.written, streams, positions + 1)
      return
    for index, (stream, position) in enumerate(zip(streams.tolist(), positions.tolist(), strict=True)):
      if position < ring.written[stream]:
        continue  # a row of an earlier run that was logged again; the older one stays
      row = {name: value[index : index + 1] for name, value in values.items()}
      if position > ring.written[stream] and self._skip(stream, position):
        zeros = {name: np.zeros_like(row[name]) for name in ("action", "reward")}
        row |= {**zeros, "is_first": np.ones(1, bool)}
        self._repaired[stream] = position
      ring.append(np.array([stream]), row)

  def _skip(self, stream: int, position: int) -> bool:
    """Fills the rows up to `position`; False where it gives up what came before instead."""
    ring = self._ring
    gap = position - int(ring.written[stream])
    self._missing += gap
    if ring.stored[stream] == 0 or gap > ring.rows // _LONGEST_GAP:
      ring.begin(stream, position)
      return False
    before = (int(ring.written[stream]) - 1) % ring.rows
    ring.columns["is_last"][stream, before] = True
    row = {name: column[stream, before][None].copy() for name, column in ring.columns.items()}
    row |= {name: np.zeros_like(row[name]) for name in ("action", "reward", "is_terminal")}
    row |= {name: np.ones(1, bool) for name in ("is_first", "is_last")}
    for _ in range(gap):
      ring.append(np.array([stream]), row)
    self._repaired[stream] = position - 1
    return True
