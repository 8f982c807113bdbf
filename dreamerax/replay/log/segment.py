"""Lays rows out in one file of the replay's log, and reads them back with a check.

A file is a header and then records of one fixed size, so that a damaged record never hides the next one. The header names
format version, streams, columns and record size; it and every record carry a CRC-32. Nothing in a file is executable.
"""

import json
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamerax.types import ArraySpec

VERSION = 1
_FILE_MAGIC = b"drmxrows"
_FILE = struct.Struct("<8sII")  # magic, bytes of the description, CRC-32 of the description
_MAGIC = 0x574F5221
_RECORD = np.dtype([("magic", "<u4"), ("crc", "<u4"), ("segment", "<u4"), ("stream", "<u4"), ("position", "<i8")])
_CRC_FROM = 8  # the checksum covers what follows it: the rest of the header, and the row
_NAME = re.compile(r"\d{8}\.rows")
_READ_BYTES = 8 * 2**20
_LONGEST = 2**20  # bytes of a description
_LARGEST = 2**40  # of the numbers in it
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class CorruptHeader(Exception):
  """A segment file that cannot be read at all, and why."""


class TornHeader(CorruptHeader):
  """A file whose run died before it held any row."""


class Header(NamedTuple):
  """The header of a segment file."""

  nbytes: int  # of the header; records begin here
  record_bytes: int
  described: dict[str, Any]  # version, streams, record_bytes, columns {name: [shape, dtype]}


class Layout:
  """The places of columns in a record: the record's header, then the raw bytes of all
  columns in order of their names."""

  def __init__(self, columns: Mapping[str, ArraySpec], streams: int):
    self.streams = streams
    self._columns = {name: (columns[name].shape, np.dtype(columns[name].dtype)) for name in sorted(columns)}
    self._places, end = {}, _RECORD.itemsize
    for name in self._columns:
      self._places[name] = slice(end, end + columns[name].nbytes)
      end += columns[name].nbytes
    self.record_bytes = end
    self._described = {
      "version": VERSION,
      "streams": streams,
      "record_bytes": end,
      "columns": {name: [list(shape), dtype.name] for name, (shape, dtype) in self._columns.items()},
    }
    text = json.dumps(self._described).encode()
    self.header = _FILE.pack(_FILE_MAGIC, len(text), zlib.crc32(text)) + text

  def check(self, header: Header, path: Path) -> None:
    """Refuses a file of other rows.

    Raises:
      ValueError: version, number of streams or a column differ; names the first that does, and the fix.
    """
    there, fix = header.described, "continue with the settings of that run, or begin one in another --logdir"
    for name, unit in (("version", ""), ("streams", " (environments)")):
      if there[name] != self._described[name]:
        raise ValueError(
          f"the replay's log {path} has {name}={there[name]}, and this run has {self._described[name]}{unit}: {fix}"
        )
    columns = self._described["columns"]
    for name in sorted(there["columns"].keys() | columns.keys()):
      if there["columns"].get(name) != columns.get(name):
        old, new = (_describe(each.get(name)) for each in (there["columns"], columns))
        raise ValueError(f"{name} is {old} in the replay's log {path}, and {new} in this run: {fix}")

  def pack(
    self,
    records: np.ndarray,
    segment: int,
    streams: np.ndarray,
    positions: np.ndarray,
    values: Mapping[str, np.ndarray],
  ) -> None:
    """Fills records [E, record_bytes] uint8 with one row of each of E streams, values [E, ...]."""
    header = records[:, : _RECORD.itemsize].view(_RECORD)[:, 0]
    header["magic"], header["segment"], header["stream"], header["position"] = _MAGIC, segment, streams, positions
    for name, place in self._places.items():
      array = np.ascontiguousarray(values[name], self._columns[name][1])
      records[:, place] = array.reshape(len(records), -1).view(np.uint8) if array.size else 0
    header["crc"] = [zlib.crc32(record[_CRC_FROM:]) for record in records]

  def unpack(self, records: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Streams [n] and positions [n], int64, and the columns [n, ...] of records [n, record_bytes]."""
    header = records[:, : _RECORD.itemsize].view(_RECORD)[:, 0]
    values = {}
    for name, (shape, dtype) in self._columns.items():
      values[name] = records[:, self._places[name]].view(dtype).reshape(len(records), *shape)
    return header["stream"].astype(np.int64), header["position"].astype(np.int64), values


class SegmentReader:
  """Reads one segment file and keeps account of what is wrong with it. Changes nothing."""

  def __init__(self, path: Path):
    """Reads the header; `problem` says why the file cannot be read, None where it can."""
    self.path = path
    self.number = int(path.stem)
    self.nbytes = path.lstat().st_size
    self._damaged: dict[int, str] = {}  # record -> what is known of it
    self.header: Header | None = None
    self.problem: str | None = None
    self.unborn = False  # the run died before the header was whole: there are no rows
    try:
      self.header = _read_header(path)
    except TornHeader:
      self.unborn = True
    except (CorruptHeader, OSError) as error:
      self.problem = str(error)

  def blocks(self) -> Iterator[np.ndarray]:
    """The intact records in order, as arrays [n, record_bytes] uint8; each is valid until the next is asked for."""
    if self.records == 0:
      return
    assert self.header is not None
    size, first = self.header.record_bytes, 0
    buffer = np.empty((max(_READ_BYTES // size, 1), size), np.uint8)
    with open(self.path, "rb", buffering=0, opener=_no_links) as file:
      file.seek(self.header.nbytes)
      while (count := _read_into(file, buffer) // size) > 0:
        valid = self._check(buffer[:count], first)
        yield buffer[:count] if valid.all() else buffer[:count][valid]
        first += count
        if count < len(buffer):
          break

  @property
  def records(self) -> int:
    """Whole records in the file, damaged ones included."""
    return 0 if self.header is None else (self.nbytes - self.header.nbytes) // self.header.record_bytes

  @property
  def layout(self) -> Layout:
    """The layout of the file's records, as its header has it."""
    assert self.header is not None
    return _layout(self.header.described)

  def read(self, first: int, count: int) -> np.ndarray:
    """The intact ones of `count` records from the `first` on, [n, record_bytes] uint8."""
    assert self.header is not None
    records = np.empty((count, self.header.record_bytes), np.uint8)
    with open(self.path, "rb", buffering=0, opener=_no_links) as file:
      file.seek(self.header.nbytes + first * self.header.record_bytes)
      records = records[: _read_into(file, records) // self.header.record_bytes]
    return records[self._check(records, first)]

  def end(self, newest: bool) -> int:
    """Returns the byte at which whole records end, after `blocks`.

    Args:
      newest: whether a run may have died while it wrote this file; damaged records at the end are then half written ones.
    """
    if self.header is None:
      return 0 if self.unborn else self.nbytes
    records = self.records
    while newest and records - 1 in self._damaged:
      records -= 1
    return self.header.nbytes + records * self.header.record_bytes

  def damaged(self, newest: bool) -> list[str]:
    """The damaged records before `end`, by file, number, and stream and position where these can be read."""
    if self.header is None:
      return []
    records = (self.end(newest) - self.header.nbytes) // self.header.record_bytes
    return [f"{self.path}: record {index} ({text})" for index, text in self._damaged.items() if index < records]

  def _check(self, records: np.ndarray, first: int) -> np.ndarray:
    header = records[:, : _RECORD.itemsize].view(_RECORD)[:, 0]
    crc = np.array([zlib.crc32(record[_CRC_FROM:]) for record in records], np.uint32)
    marked = header["magic"] == _MAGIC
    # The number of the file tells rows from those of an older file whose blocks the disk gave to this one.
    valid = marked & (header["crc"] == crc) & (header["segment"] == self.number)
    for index in np.flatnonzero(~valid).tolist():
      where = f"it says stream {header['stream'][index]}, position {header['position'][index]}"
      self._damaged[first + index] = where if marked[index] else "stream and position unreadable"
    return valid


def segments(folder: Path) -> list[Path]:
  """The segment files of a log, oldest first; none where there is no folder."""
  return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def segment_path(folder: Path, number: int) -> Path:
  return folder / f"{number:08d}.rows"


def _read_header(path: Path) -> Header:
  if not stat.S_ISREG(path.lstat().st_mode):
    raise CorruptHeader("it is not a plain file")
  with open(path, "rb", opener=_no_links) as file:
    start = file.read(_FILE.size)
    if len(start) < _FILE.size:
      raise TornHeader
    magic, length, crc = _FILE.unpack(start)
    if magic != _FILE_MAGIC or length > _LONGEST:
      raise CorruptHeader("its header is damaged")
    text = file.read(length)
  if zlib.crc32(text) != crc:
    raise TornHeader if len(text) < length else CorruptHeader("its header is damaged")
  try:
    described = json.loads(text)
    if described["version"] == VERSION and _layout(described).header != start + text:
      raise ValueError
    return Header(_FILE.size + length, _positive(described["record_bytes"]), described)
  except _MALFORMED:
    raise CorruptHeader("its header is damaged") from None


def _layout(described: Mapping[str, Any]) -> Layout:
  columns = described["columns"].items()
  specs = {name: ArraySpec(tuple(map(_positive, shape)), dtype) for name, (shape, dtype) in columns}
  return Layout(specs, _positive(described["streams"]))


def _positive(number: Any) -> int:
  if type(number) is not int or not 0 < number < _LARGEST:
    raise ValueError
  return number


def _no_links(path: str, flags: int) -> int:
  return os.open(path, flags | os.O_NOFOLLOW)


def _read_into(file: Any, buffer: np.ndarray) -> int:
  view, done = buffer.data.cast("B"), 0
  while done < len(view) and (count := file.readinto(view[done:])):
    done += count
  return done


def _describe(entry: list | None) -> str:
  return "absent" if entry is None else f"{entry[1]} {tuple(entry[0])}"
