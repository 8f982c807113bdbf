"""Writes metrics over env steps: metrics.jsonl for programs, TensorBoard and other loggers for people."""

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from dreamerax import files
from dreamerax.images import colored
from dreamerax.loggers import process
from dreamerax.loggers.names import CLASSES
from dreamerax.loggers.process import LoggerProcess
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.telemetry.tensorboard import EventFile

METRICS = "metrics.jsonl"  # in a run directory
_log = logging.getLogger(__name__)


def read_metrics(path: Path) -> list[dict]:
  """The lines of a metrics.jsonl, without a last line that a crash has torn.

  Raises:
    ValueError: another line is not JSON.
  """
  lines = path.read_bytes().splitlines(keepends=True)
  rows = []
  for number, line in enumerate(lines, 1):
    if number == len(lines) and not line.endswith(b"\n"):
      break
    try:
      rows.append(json.loads(line))
    except (ValueError, RecursionError) as error:
      raise ValueError(f"{path}, line {number}: not JSON; delete that line") from error
  return rows


def evaluation_lines(path: Path) -> list[bytes]:
  """The lines of a metrics.jsonl that tell of an evaluation, as they are; none where there is no file."""
  try:
    lines = files.read_regular(path).splitlines(keepends=True)
  except FileNotFoundError:
    return []
  return [line for line in lines if b'"eval/return"' in line and line.endswith(b"\n")]


def as_markdown(text: str) -> str:
  """Lines as they are."""
  return "".join(f"    {line}\n" for line in text.splitlines())


class MetricsWriter:
  """Appends to logdir/metrics.jsonl and to TensorBoard events in logdir, and tells other loggers.

  Every line carries env_steps, agent_steps, updates and seconds (since the run began, over restarts). A number that is
  not finite is written as null. Where the disk is full, lines wait until it is not.
  """

  def __init__(
    self,
    logdir: Path,
    *,
    size: int = 0,
    after: int = -1,
    loggers: Sequence[str] = (),
    say: Callable[[str], None] = print,
    stopped: Callable[[], bool] = lambda: False,
  ):
    """
    Args:
      size: bytes of metrics.jsonl at the checkpoint that the run continues from; later ones are dropped.
      after: env steps of that checkpoint, or -1: TensorBoard hides what came later.
      loggers: names of `loggers.names.CLASSES`.
      say: told what `close` waits for.
      stopped: whether a person has asked to leave, which ends that waiting.
    """
    self._say, self._stopped = say, stopped
    self._path = logdir / METRICS
    self._file = os.fdopen(files.open_regular(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "r+b", buffering=0)
    self.size = self._cut(size)  # bytes of whole lines
    self._unwritten = b""
    # TensorBoard hides events from purge_step on that an interrupted run has written.
    self._board = EventFile(logdir, purge_step=after + 1 if after >= 0 else None)
    self._loggers = [LoggerProcess(name, CLASSES[name], logdir) for name in loggers]

  def write(self, counters: Counters, seconds: float, scalars: Mapping[str, float]) -> None:
    """Writes one line, and each scalar for TensorBoard and other loggers, which get finite ones only."""
    values = {name: float(value) for name, value in scalars.items()}
    row = {**counters._asdict(), "seconds": round(seconds, 3)}
    row |= {name: value if math.isfinite(value) else None for name, value in values.items()}
    self._append(json.dumps(row, allow_nan=False).encode() + b"\n")
    for name, value in values.items():
      self._board.scalar(name, value, counters.env_steps)
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    for logger in self._loggers:
      logger.scalars(counters.env_steps, finite)

  def video(self, counters: Counters, name: str, frames: np.ndarray) -> None:
    """An animation for TensorBoard and other loggers. frames: uint8 [T, H, W, C]; one that cannot be encoded is a warning."""
    self._board.video(name, frames, counters.env_steps)
    for logger in self._loggers:
      logger.video(counters.env_steps, name, colored(frames))

  def text(self, counters: Counters, name: str, markdown: str) -> None:
    """A text for TensorBoard."""
    self._board.text(name, markdown, counters.env_steps)

  def flush(self) -> None:
    """Brings everything written so far into the files, and metrics.jsonl onto the disk:
    a checkpoint may count on its `size`."""
    self._append(b"")
    try:
      os.fsync(self._file.fileno())
      files.sync_directory(self._path.parent)
    except OSError as error:
      _log.warning("%s may not have reached the disk: %s", self._path, error)
    self._board.flush()

  def close(self) -> None:
    """Flushes and closes the files, and waits some seconds for other loggers; what cannot be written is lost, and said."""
    self.flush()
    if self._unwritten:
      self._file.truncate(self.size)
      _log.warning("%s cannot be written: its last %d lines are lost", self._path, self._unwritten.count(b"\n"))
    self._file.close()
    self._board.close()
    process.close(self._loggers, self._say, self._stopped)

  def _cut(self, size: int) -> int:
    """Leaves whole lines of at most `size` bytes; returns how many bytes they are."""
    there = self._file.seek(0, os.SEEK_END)
    kept = min(size, there)
    self._file.seek(0)
    whole = self._file.read(kept).rfind(b"\n") + 1
    if whole < size:
      _log.warning("%s lacks %d bytes that it had at the checkpoint: these lines are lost", self._path, size - whole)
    self._file.truncate(whole)
    return whole

  def _append(self, line: bytes) -> None:
    waiting, self._unwritten = self._unwritten, self._unwritten + line
    try:
      while self._unwritten:
        written = self._file.write(self._unwritten)
        self._unwritten = self._unwritten[written:]
      self.size = self._file.seek(0, os.SEEK_END)
    except OSError as error:
      if not waiting:
        _log.warning("%s cannot be written (%s); its lines wait until it can", self._path, error)


class Metrics(Protocol):
  """A place that takes the metrics of a run."""

  size: int
  """Bytes of whole lines."""

  def write(self, counters: Counters, seconds: float, scalars: Mapping[str, float]) -> None:
    """Adds a line."""
    ...

  def video(self, counters: Counters, name: str, frames: np.ndarray) -> None:
    """Adds an animation. frames: uint8 [T, H, W, C]."""
    ...

  def flush(self) -> None:
    """Waits until what was written has reached the file."""
    ...


class NoMetrics:
  """Writes nothing: for the hosts whose metrics another one writes."""

  size: int = 0

  def write(self, counters: Counters, seconds: float, scalars: Mapping[str, float]) -> None:
    """Leaves it to host 0, as the others do."""

  def video(self, counters: Counters, name: str, frames: np.ndarray) -> None: ...

  def flush(self) -> None: ...
