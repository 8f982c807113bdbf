"""Ctrl-C and SIGTERM: the first asks the run to save and leave, the second leaves at once."""

import os
import signal
import threading
from types import FrameType

from dreamerax.runtime.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
  """Within the context, signals are noted; `check` raises at a place where the run can be left."""

  def __init__(self):
    self.requested = False
    self._previous: dict[int, object] = {}

  def check(self) -> None:
    """
    Raises:
      Interrupted: a signal has come.
    """
    if self.requested:
      raise Interrupted

  def __enter__(self) -> "StopSignals":
    # Only the main thread may set handlers; a program that trains in another one keeps its own.
    if threading.current_thread() is threading.main_thread():
      self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)  # type: ignore[arg-type]

  def _note(self, number: int, _: FrameType | None) -> None:
    if self.requested:
      os._exit(128 + number)
    self.requested = True
    # Not print: the signal may have come in the middle of one.
    os.write(2, b"\nSaving; once more leaves at once.\n")
