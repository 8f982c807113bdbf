"""Replays with a log, and what tests of it compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax.replay import Replay
from dreamerax.replay.log.segment import SegmentReader, segments
from dreamerax.replay.log.writer import LogFiles
from tests.replay.numbered import fill, make

ROW = 79  # bytes of a record of `numbered`: its header, 24, and the row, 12 + 8 + 8 + 4 + 3 + 12 + 8
SMALL = LogFiles(segment_bytes=4 * ROW)


def logged(folder: Path, end: Any = None, streams: int = 1, files: LogFiles | None = None, **fields: Any) -> Replay:
  replay = make(streams, **fields)
  replay.open_log(folder, end, lambda line: None, files)
  return replay


def written(folder: Path, rows: Sequence[int], **fields: Any) -> dict[str, Any]:
  """A log of rows[s] rows of each stream, closed; the end of it."""
  replay = logged(folder, streams=len(rows), **fields)
  fill(replay, rows)
  end = replay.commit_log()
  replay.close_log()
  return end


def held(replay: Replay, stream: int = 0) -> dict[int, dict[str, np.ndarray]]:
  """What a replay holds of a stream: {position: {column: value}}."""
  columns = replay.rows(stream)
  return {
    position: {name: column[index] for name, column in columns.items()}
    for index, position in enumerate(range(*replay.held[stream].tolist()))
  }


def positions(replay: Replay, stream: int = 0) -> list[int]:
  """Positions held, of rows whose content says that they are what was added there."""
  rows = held(replay, stream)
  return [position for position, row in rows.items() if row["observation/where"].tolist() == [stream, position]]


def flip(path: Path, offset: int) -> None:
  data = bytearray(path.read_bytes())
  data[offset] ^= 0x10
  path.write_bytes(data)


def header_bytes(path: Path) -> int:
  header = SegmentReader(path).header
  assert header is not None
  return header.nbytes


def only_file(folder: Path) -> Path:
  (path,) = segments(folder)
  return path
