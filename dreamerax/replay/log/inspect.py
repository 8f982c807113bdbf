"""Checks a log without changing it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dreamerax.replay.log.segment import SegmentReader, segments


class LogReport(NamedTuple):
  """The result of reading a folder's log."""

  rows: int  # intact
  corrupt: tuple[str, ...]  # damaged records and unreadable files, each by name with what is wrong
  torn_bytes: int  # at the ends of files, half written when a run died; opening cuts those of the newest
  bytes: int  # of all files
  segments: int


def find_lost(folder: Path, end: Mapping[str, Any]) -> list[str]:
  """Says what a log lacks of what it had when `RowLog.commit` returned `end`; empty:
  nothing."""
  lost = []
  for name, nbytes in end.get("files", []):  # a version before wrote none
    path = folder / name
    found = path.stat().st_size if path.is_file() else None
    if found is None:
      lost.append(f"{path} is missing")
    elif found < nbytes:
      lost.append(f"{path} has {found:,} bytes instead of {nbytes:,}")
  return lost


def inspect(folder: Path) -> LogReport:
  """Reads and checks a whole log. Changes nothing, and takes any columns.

  Raises:
    FileNotFoundError: there is no such folder.
  """
  if not folder.is_dir():
    raise FileNotFoundError(f"{folder} holds no log of a replay: name the folder that a run wrote")
  rows, corrupt, torn, total, readers = 0, [], 0, 0, [SegmentReader(path) for path in segments(folder)]
  for reader in readers:
    rows += sum(len(records) for records in reader.blocks())
    newest = reader is readers[-1]
    corrupt += reader.damaged(newest) if reader.problem is None else [f"{reader.path}: {reader.problem}"]
    torn += reader.nbytes - reader.end(newest)
    total += reader.nbytes
  return LogReport(rows, tuple(corrupt), torn, total, len(readers))
