"""Writes rows to an append-only log in a folder, so that a replay outlives the process
that filled it."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamerax.files import open_regular
from dreamerax.replay.log.segment import Layout, SegmentReader, segment_path, segments

_log = logging.getLogger(__name__)

_SEGMENTS = 8  # into how many files the budget is divided, so that little is lost when the oldest goes
_LEAST_BUDGET = 2**30  # of max_bytes=None
_NAMED = 5  # damaged records that one warning names


class LogFiles(NamedTuple):
  """The division of rows into files, and when writing is tried again."""

  segment_bytes: int = 256 * 2**20  # of one file, at most; an eighth of the log's budget where that is less
  retry_rows: int = 1000  # that are not logged after a failure, before the next attempt


class _Segment(NamedTuple):
  path: Path
  nbytes: int
  upto: np.ndarray  # [streams], all its rows have smaller positions


class RowLog:
  """A log of rows of many streams, in the order in which they came, in numbered files
  of a limited size.

  Kill -9: what `append` wrote is in the kernel's page cache and survives the process at any moment. A crash of the
  machine: what came before the last `commit` survives. Files are never changed once written, except that opening cuts
  what a dead run left half written and what follows the wanted end.

  Space: the oldest files go when every row in them is overwritten in memory and not needed by the last two commits (the
  checkpoint that belongs to the last one may still be in the making), and also, needed or not, where the log would
  exceed its budget.

  A full or failing disk does not stop training. The log says so once and stops; rows are missing from then on. It tries
  again with a new file after every 1000 further rows and after every commit. Rows that are missing are known by their
  positions when the log is read.
  """

  def __init__(self, folder: Path, layout: Layout, *, rows: int, max_bytes: int, files: LogFiles | None = None):
    """Touches nothing; `open` comes first.

    Args:
      rows: newest rows of each stream that memory holds; older ones need not be kept.
      max_bytes: what the files may occupy together, see `disk_budget`.
      files: the defaults of `LogFiles` where there is none.
    """
    self.folder = folder
    self.skipped = 0  # after `open`: damaged records
    self._layout, self._rows, self._max_bytes = layout, rows, max_bytes
    files = files or LogFiles()
    self._segment_bytes = max(min(max_bytes // _SEGMENTS, files.segment_bytes), _least_segment(layout))
    self._retry_rows = files.retry_rows
    self._segments: list[_Segment] = []
    self._unsynced: set[Path] = set()
    self._written = np.zeros(layout.streams, np.int64)
    self._commits: list[np.ndarray] = []  # what was written at the last two
    self._records = np.empty((layout.streams, layout.record_bytes), np.uint8)
    self._file: int | None = None  # descriptor of the newest file, while it is appended to
    self._number = 0  # of the newest file
    self._offset = 0
    self._wait = 0  # rows to let pass before the next attempt to write
    self._said_full = self._said_needed = False

  def open(self, end: Mapping[str, Any] | None) -> Iterator[np.ndarray]:
    """Cuts what follows `end`, then reads; call it once, before the first `append`, and exhaust it.

    Args:
      end: what `commit` returned, {} for the beginning of the log, None to keep everything.

    Yields:
      Intact records [n, record_bytes], oldest first, valid until the next are asked for. Damaged ones are skipped and named
      in a warning, as are files whose header is damaged.

    Raises:
      ValueError: a file holds rows of other streams or columns; nothing is changed then.
      OSError: a file cannot be read or cut.
    """
    self.folder.mkdir(parents=True, exist_ok=True)
    readers = [SegmentReader(path) for path in segments(self.folder)]
    for reader in readers:
      if reader.header is not None:
        self._layout.check(reader.header, reader.path)
    for reader in [each for each in readers if each.unborn]:
      reader.path.unlink()
      readers.remove(reader)
    if end is not None:
      self._number = end.get("segment", 0)
      readers = _cut(readers, self._number, end.get("offset", 0))
    for reader in readers:
      yield from self._read(reader, newest=end is None and reader is readers[-1])
    self._number = max([self._number, *(reader.number for reader in readers)])
    self._offset = sum(reader.nbytes for reader in readers if reader.number == self._number)
    if end is not None:
      self._written[:] = end.get("written", 0)
    if end:  # until the next commit, this is where a restart would begin
      self._commits = [self._written.copy()]

  def append(self, streams: np.ndarray, positions: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Writes one row [E, ...] of each of E distinct streams, `positions` [E] being the rows that each received before."""
    count = len(streams)
    if self._wait > 0:
      self._wait -= count
    else:
      try:
        if self._file is None or self._offset + count * self._layout.record_bytes > self._segment_bytes:
          self._begin_file()
        records = self._records[:count]
        self._layout.pack(records, self._number, streams, positions, values)
        self._write(records.data.cast("B"))
      except OSError as error:
        self._fail(error)
    self._written[streams] = positions + 1

  def commit(self) -> dict[str, Any]:
    """Waits until everything appended is on the disk. Returns the end of the log, for `open`, as JSON can hold it."""
    self._wait = 0
    try:
      for path in self._unsynced:
        _sync(path)
      self._unsynced.clear()
      if self._file is not None:
        os.fdatasync(self._file)
        self._said_full = False
      _sync(self.folder)
    except OSError as error:
      self._fail(error)
    if not self._commits or (self._commits[-1] != self._written).any():
      self._commits = [*self._commits[-1:], self._written.copy()]
    position = {"segment": self._number, "offset": self._offset, "written": self._written.tolist()}
    self._trim(0)
    files = [(segment.path.name, segment.nbytes) for segment in self._segments]
    newest = [(segment_path(self.folder, self._number).name, self._offset)] if self._file is not None else []
    return {**position, "files": [list(each) for each in files + newest]}

  def close(self) -> None:
    """Ends the newest file; a later `append` would begin another."""
    if self._file is None:
      return
    descriptor, self._file = self._file, None
    path = segment_path(self.folder, self._number)
    if self._offset:
      self._segments.append(_Segment(path, self._offset, self._written.copy()))
      self._unsynced.add(path)
    else:  # there was no space for its header
      path.unlink()
    os.close(descriptor)

  def _read(self, reader: SegmentReader, *, newest: bool) -> Iterator[np.ndarray]:
    if reader.problem is not None:
      _log.warning("%s is skipped with all its rows: %s", reader.path, reader.problem)
    for records in reader.blocks():
      streams, positions, _ = self._layout.unpack(records)
      np.maximum.at(self._written, streams, positions + 1)
      yield records
    damaged = reader.damaged(newest)
    self.skipped += len(damaged)
    if damaged:
      more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
      _log.warning("the replay's log skips damaged rows: %s%s", "; ".join(damaged[:_NAMED]), more)
    if newest and reader.header is not None and reader.end(newest) < reader.nbytes:
      _shorten(reader, reader.end(newest))
    self._segments.append(_Segment(reader.path, reader.nbytes, self._written.copy()))

  def _begin_file(self) -> None:
    self.close()
    self._trim(self._segment_bytes)
    self._number += 1  # not again after a failure: what that left may still be there
    path = segment_path(self.folder, self._number)
    self._offset = 0
    self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    self._write(memoryview(self._layout.header))

  def _write(self, data: memoryview) -> None:
    assert self._file is not None
    done = 0
    while done < len(data):
      done += os.pwrite(self._file, data[done:], self._offset + done)
    self._offset += done

  def _fail(self, error: OSError) -> None:
    """Leaves whole records only, and lets rows pass until the next attempt."""
    if self._file is not None:
      with contextlib.suppress(OSError):
        os.ftruncate(self._file, self._offset)
      with contextlib.suppress(OSError):
        self.close()
    self._wait = self._retry_rows
    if not self._said_full:
      self._said_full = True
      _log.warning(
        "the replay's log cannot be written (%s): training goes on, and what is collected until there is space in %s "
        "will be missing from the replay of a restarted run; free some, or lower replay.max_disk_bytes",
        error,
        self.folder,
      )

  def _trim(self, wanted: int) -> None:
    """Deletes the oldest files that nobody needs, and as many more as `wanted` bytes take."""
    needed = np.min([self._written, *self._commits], axis=0) - self._rows
    total = sum(segment.nbytes for segment in self._segments) + (self._offset if self._file is not None else 0)
    while self._segments:
      oldest = self._segments[0]
      dead = (oldest.upto <= needed).all()
      if not dead and total + wanted <= self._max_bytes:
        break
      if not dead and not self._said_needed:
        self._said_needed = True
        _log.warning(
          "the replay's log is full at replay.max_disk_bytes=%d and forgets rows that a restarted run would need: "
          "raise it, or lower replay.capacity",
          self._max_bytes,
        )
      with contextlib.suppress(FileNotFoundError):
        oldest.path.unlink()
      self._unsynced.discard(oldest.path)
      total -= oldest.nbytes
      del self._segments[0]


def disk_budget(max_bytes: int | None, layout: Layout, rows: int) -> int:
  """Bytes that a log of `rows` rows per stream may occupy.

  Args:
    max_bytes: what is asked; None is twice what the rows take, because the last two commits need older ones too, and at
      least 1 GiB. It bounds; usually the log takes less.

  Raises:
    ValueError: it holds less than two of the smallest files.
  """
  if max_bytes is None:
    return max(2 * layout.streams * rows * layout.record_bytes, _LEAST_BUDGET, 2 * _least_segment(layout))
  if max_bytes < 2 * _least_segment(layout):
    raise ValueError(
      f"replay.max_disk_bytes={max_bytes} holds less than a few steps of {layout.record_bytes} bytes for each of "
      f"{layout.streams} streams: set it to at least {2 * _least_segment(layout)}, or to 0 for no log on disk"
    )
  return max_bytes


def _cut(readers: list[SegmentReader], number: int, offset: int) -> list[SegmentReader]:
  """Removes what follows the position, newest first, so that a crash meanwhile leaves a log without holes."""
  kept = []
  for reader in reversed(readers):
    if reader.number > number or (reader.number == number and offset == 0):
      reader.path.unlink()
      continue
    if reader.number == number and reader.header is not None and reader.nbytes > offset:
      _shorten(reader, offset)
    kept.insert(0, reader)
  return kept


def _shorten(reader: SegmentReader, nbytes: int) -> None:
  descriptor = open_regular(reader.path, os.O_WRONLY)
  try:
    os.ftruncate(descriptor, nbytes)
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
  reader.nbytes = nbytes


def _least_segment(layout: Layout) -> int:
  return len(layout.header) + max(layout.streams, 4) * layout.record_bytes


def _sync(path: Path) -> None:
  descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
