"""Reads short sequences from a log that a run may be writing: nothing is locked, changed or kept open."""

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dreamerax.replay.log.segment import SegmentReader, segments
from dreamerax.types import Transition, to_transition


class StoredSequence(NamedTuple):
  """Consecutive steps of one stream."""

  steps: Transition  # [T, ...]
  stream: int
  position: int  # of the first step: how many the stream had received before


def read_sequence(folder: Path, where: float, length: int) -> StoredSequence | None:
  """`length` steps from a place in what the log holds now: 0 is its oldest, 1 its newest.

  There are fewer, at least one, where rows are damaged or the log is shorter; None where it holds no intact row there.

  Raises:
    ValueError: where lies outside [0, 1], or length is less than 1.
  """
  if not 0 <= where <= 1 or length < 1:
    raise ValueError(f"where={where} must lie in [0, 1], and length={length} be at least 1")
  readers = [reader for reader in _readers(folder) if reader.records]
  index = round(where * (sum(reader.records for reader in readers) - 1))
  for reader in readers:
    if index < reader.records:
      with contextlib.suppress(FileNotFoundError):  # as above
        return _read(reader, index, length)
      return None
    index -= reader.records
  return None


def _readers(folder: Path) -> list[SegmentReader]:
  readers = []
  for path in segments(folder):
    with contextlib.suppress(FileNotFoundError):  # the run has just deleted its oldest
      readers.append(SegmentReader(path))
  return readers


def _read(reader: SegmentReader, index: int, length: int) -> StoredSequence | None:
  """Reads from record `index`, or so far before it that `length` steps of its stream
  are in the file."""
  layout = reader.layout
  span = length * layout.streams  # streams take turns, so that each has one of so many records
  records = reader.read(max(0, min(index, reader.records - span)), span)
  if not len(records):
    return None
  streams, positions, columns = layout.unpack(records)
  chosen = np.flatnonzero(streams == streams[0])
  gaps = np.flatnonzero(np.diff(positions[chosen]) != 1)  # what is damaged was left out
  chosen = chosen[gaps[-1] + 1 :] if len(gaps) else chosen
  steps = to_transition({name: column[chosen] for name, column in columns.items()})
  return StoredSequence(steps, int(streams[0]), int(positions[chosen[0]]))
