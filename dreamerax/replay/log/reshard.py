"""Deals the streams of several replays out to others, where a run goes on with another number of hosts than before."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamerax.replay.log.load import Loader
from dreamerax.replay.log.segment import Layout, SegmentReader, segments
from dreamerax.replay.ring import Ring


class OldLog(NamedTuple):
  """The log of a replay that is dealt out, and where it ends."""

  folder: Path
  end: Mapping[str, Any]  # what `commit` returned


def assign(lengths: Sequence[int], streams: int, hosts: int) -> list[list[list[int]]]:
  """Assigns old streams, by their places in `lengths`, to each stream of each host:
  [hosts][streams][...].

  Every one goes to one place, the longest first, each to where there is least: so the steps, and with them what a full ring
  forgets, are spread as evenly as whole streams allow. The result follows from the arguments alone.
  """
  assigned: list[list[list[int]]] = [[[] for _ in range(streams)] for _ in range(hosts)]
  places = [(stream, host) for stream in range(streams) for host in range(hosts)]
  steps = dict.fromkeys(places, 0)
  for old in sorted(range(len(lengths)), key=lambda old: -lengths[old]):
    stream, host = place = min(places, key=lambda place: steps[place])
    assigned[host][stream].append(old)
    steps[place] += lengths[old]
  return assigned


def lengths(logs: Sequence[OldLog], rows: int) -> list[int]:
  """Steps that the streams of all logs held, log after log, in rings of `rows` rows."""
  return [min(written, rows) for log in logs for written in log.end["written"]]


def take(logs: Sequence[OldLog], layout: Layout, wanted: Sequence[Sequence[int]], ring: Ring) -> Iterator[tuple]:
  """The rows that a host gets, stream after stream within each log.

  An old stream was cut off where the run ended: its last row becomes the last of its episode, not terminal. Where it comes
  after another in the same stream, its first row becomes the first of an episode, with zero action and reward.

  Args:
    logs: all of them; nothing in them is changed.
    wanted: for each of this host's streams, the old ones that it gets.
    ring: this host's, empty; the caller adds the rows to it as they come.

  Yields:
    The stream, and the values [1, ...] of a row.
  """
  first = 0
  for log in logs:
    count = len(log.end["written"])
    here = {old - first: stream for stream, olds in enumerate(wanted) for old in olds if first <= old < first + count}
    if here:
      old = ring.empty(count)
      Loader(old, layout).load(_read(log, layout, list(here)), _only(log.end["written"], list(here)))
      for source, stream in here.items():
        yield from ((stream, row) for row in _rows(old, source, joined=int(ring.written[stream]) > 0))
    first += count


def _rows(ring: Ring, stream: int, *, joined: bool) -> Iterator[dict[str, np.ndarray]]:
  oldest, end = int(ring.oldest[stream]), int(ring.written[stream])
  for position in range(oldest, end):
    row = {name: column[stream, position % ring.rows][None] for name, column in ring.columns.items()}
    if joined and position == oldest and not row["is_first"][0]:
      row |= {**{name: np.zeros_like(row[name]) for name in ("action", "reward")}, "is_first": np.ones(1, bool)}
    if position == end - 1:
      row |= {"is_last": np.ones(1, bool)}
    yield row


def _read(log: OldLog, layout: Layout, streams: Sequence[int]) -> Iterator[np.ndarray]:
  """Intact records of some streams up to the end of the log."""
  written = np.asarray(log.end["written"])
  for reader in map(SegmentReader, segments(log.folder)):
    if reader.header is None or reader.number > log.end["segment"]:
      continue
    layout.check(reader.header, reader.path)
    for records in reader.blocks():
      at, positions, _ = layout.unpack(records)
      wanted = np.isin(at, streams) & (positions < written[at])
      if wanted.any():
        yield records[wanted]


def _only(written: Sequence[int], streams: Sequence[int]) -> list[int]:
  return [count if stream in streams else 0 for stream, count in enumerate(written)]
