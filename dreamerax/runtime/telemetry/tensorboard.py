"""Event files for TensorBoard, which may fail to be written without a run noticing more than a warning."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

from dreamerax.images import colored

_log = logging.getLogger(__name__)
_FRAMES_PER_SECOND = 20
_FLUSH_SECONDS = 30.0
_RETRY_SECONDS = 60.0  # after events could not be written


class EventFile:
  """Scalars and animations over env steps.

  tensorboardX's own SummaryWriter writes in a thread, which a full disk ends, and then waits for it for good. Here events are
  lost while the disk is full, and a new file is begun afterwards, because TensorBoard reads no file beyond a torn event.
  """

  def __init__(self, logdir: Path, *, purge_step: int | None = None):
    """purge_step: TensorBoard hides what earlier files have from this env step on."""
    self._logdir = logdir
    self._files = 0
    self._writer: EventsWriter | None = None
    self._failed_at: float | None = None
    self._flushed = time.monotonic()
    if purge_step is not None:
      self._write(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

  def scalar(self, name: str, value: float, step: int) -> None:
    """One number."""
    self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)])))

  def video(self, name: str, frames: np.ndarray, step: int) -> None:
    """An animation. frames: uint8 [T, H, W, C], any number of channels. What cannot be encoded is a warning."""
    try:
      _, height, width, _ = frames.shape
      encoded = imageio.imwrite(
        "<bytes>", colored(frames), extension=".gif", duration=1000 / _FRAMES_PER_SECOND, loop=0
      )
    except Exception as error:  # whatever the encoder raises, the run goes on
      _log.warning("the video %s of shape %s cannot be encoded (%s) and is left out", name, frames.shape, error)
      return
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)])))

  def text(self, name: str, markdown: str, step: int) -> None:
    """A text, for the tab of that name."""
    self._write(Event(step=step, summary=summary.text(name, markdown)))

  def flush(self) -> None:
    """Brings everything written so far into the file."""
    self._flushed = time.monotonic()
    if self._writer:
      self._try(self._flush)

  def close(self) -> None:
    """Flushes and closes the file."""
    if self._writer:
      self._try(self._writer.close)

  def _write(self, event: Event) -> None:
    if self._failed_at is not None and time.monotonic() - self._failed_at < _RETRY_SECONDS:
      return  # else every event would leave an empty file
    event.wall_time = time.time()
    self._try(lambda: self._open().write_event(event))
    if time.monotonic() - self._flushed > _FLUSH_SECONDS:
      self.flush()

  def _flush(self) -> None:
    assert self._writer is not None
    self._writer.flush()
    self._failed_at = None

  def _open(self) -> EventsWriter:
    if self._writer is None:
      self._writer = EventsWriter(str(self._logdir / "events"), f".{self._files}")
      self._files += 1
    return self._writer

  def _try(self, action: Callable[[], object]) -> None:
    try:
      action()
    except OSError as error:
      if self._failed_at is None:
        _log.warning("TensorBoard's events cannot be written (%s) and are lost until they can", error)
      self._failed_at = time.monotonic()
      self._drop_file()

  def _drop_file(self) -> None:
    """Leaves the file to what reached it; one that nothing reached is removed."""
    writer, self._writer = self._writer, None
    if writer is not None:
      with suppress(OSError):
        writer.close()
      path = Path(writer._file_name)
      with suppress(OSError):
        if path.stat().st_size == 0:
          path.unlink()
