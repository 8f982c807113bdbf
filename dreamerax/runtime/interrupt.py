"""Ctrl-C, SIGTERM and SIGHUP: the first asks the run to save and leave, the second leaves at once.

SIGHUP says that the terminal is gone. It may come from the kernel and from the shell, so that a second one says nothing more.
Under nohup it is ignored, as it was before.
"""

import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from dreamerax.runtime.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 0.25
_OVER = b"\0"  # to the thread that waits for signals: the context is left


class StopSignals:
  """Within the context, signals are noted; `check` raises at a place where the run can be left.

  A process of a run ends soon whatever it does: Python runs a signal's handler in the main thread and only between two of its
  instructions, thus not while a compiler, a disk or a simulator keeps that thread. So another thread gets every signal as well
  (signal.set_wakeup_fd), and ends the process where the run does not.
  """

  def __init__(self, *, run: bool = False, empty_seconds: float = 2.0, stalled_seconds: float = 20.0):
    """
    Args:
      run: the process trains. It ends by itself where there is nothing to save, and where it does not come to save.
      empty_seconds: what a run without anything to save has to end in good order.
      stalled_seconds: what a run has without progress towards a save; batch systems kill a process 30 seconds after SIGTERM.
    """
    self.requested = False
    self._run = run
    self._empty_seconds, self._stalled_seconds = empty_seconds, stalled_seconds
    self._progress: list[Callable[[], object]] = []  # of runs that have something to save
    self._saving = False
    self._handled = False  # a signal, by the main thread
    self._previous: dict[int, object] = {}
    self._terminals: list[int] = []  # what is printed to one, by file descriptor

  def check(self) -> None:
    """
    Raises:
      Interrupted: a signal has come.
    """
    if self.requested:
      raise Interrupted

  def attend(self, progress: Callable[[], object]) -> None:
    """Tells that there is something to save from now on. progress: a value that changes
    while the run gets nearer to a save."""
    self._progress.append(progress)

  def saving(self) -> None:
    """Tells that the run saves, which is waited for as long as it takes."""
    self._saving = True

  def __enter__(self) -> "StopSignals":
    # Only the main thread may set handlers; a program that trains in another one keeps its own.
    if threading.current_thread() is threading.main_thread():
      self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
      self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
      self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
      attended = [n for n in _SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
      self._previous = {number: signal.signal(number, self._handle) for number in attended}
      self._thread = threading.Thread(target=self._wait, name="signals", daemon=True)
      self._thread.start()
    return self

  def __exit__(self, *_: object) -> None:
    if not self._previous:
      return
    for number, handler in self._previous.items():
      signal.signal(number, handler)  # type: ignore[arg-type]
    signal.set_wakeup_fd(self._wakeup)
    os.write(self._write, _OVER)
    self._thread.join()
    os.close(self._read)
    os.close(self._write)

  def _handle(self, number: int, _: FrameType | None) -> None:
    """Handles a signal in the main thread."""
    if number == signal.SIGHUP:
      self._hang_up()
      if self._handled:
        return
    if self._handled:
      os._exit(128 + number)
    self._handled = self.requested = True
    if self._run and not self._progress:
      raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

  def _wait(self) -> None:
    """Waits for signals in a thread of its own, until the context is left."""
    first = 0
    while first == 0:  # another signal that Python handles
      first = self._next(None)
    if first is None:
      return
    if first == signal.SIGHUP:
      self._hang_up()
    self.requested = True
    empty = self._run and not self._progress
    # Not print: the signal may have come in the middle of one.
    os.write(2, b"\nNothing is to be saved.\n" if empty else b"\nSaving; once more leaves at once.\n")
    patience = (self._empty_seconds if empty else self._stalled_seconds) if self._run else math.inf
    deadline = time.monotonic() + patience
    state = self._state()
    while self._saving or time.monotonic() < deadline:
      second = self._next(_LOOK_SECONDS)
      if second and second != signal.SIGHUP:
        os._exit(128 + second)
      if second is None:
        return
      if not empty and (now := self._state()) != state:
        state, deadline = now, time.monotonic() + patience
    _leave(first, empty)

  def _hang_up(self) -> None:
    """Sends nowhere what would be printed to the terminal from here on, as that raises
    errors."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in self._terminals:
      os.dup2(nowhere, descriptor)
    os.close(nowhere)

  def _next(self, timeout: float | None) -> int | None:
    """Returns the next signal; 0 where none came in time, None where the context is
    left."""
    if not select.select([self._read], [], [], timeout)[0]:
      return 0
    data = os.read(self._read, 1)
    return None if data == _OVER else data[0] if data[0] in _SIGNALS else 0

  def _state(self) -> list[object]:
    return [progress() for progress in self._progress]


def _leave(number: int, empty: bool) -> NoReturn:
  if not empty:
    os.write(2, b"The run does not come to save; it goes on from its newest checkpoint.\n")
  os._exit(128 + number)
