"""A logger as the run sees it: a queue that never blocks, before a process that may."""

import contextlib
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax import files
from dreamerax.loggers.base import FOLDER, make_folder

_log = logging.getLogger(__name__)
_WAITING = 1000  # messages that may wait while a logger is slow
_LOOK_SECONDS = 1.0  # between looks for what a logger has to tell
_END_SECONDS = 5.0  # that the end of a run waits for its loggers
_TELL_SECONDS = 1.0  # of waiting, before it is told


class LoggerProcess:
  """Starts a logger. Whatever becomes of it, the run goes on: a failure is one warning."""

  def __init__(self, name: str, target: str, run_dir: Path, *, waiting: int = _WAITING):
    """
    Args:
      name: of the logger, for people and for its files.
      target: "module:Class" of a `Logger`.
      waiting: messages that may wait before its process; more are lost, which is said once.
    """
    self.name = name
    self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue(waiting)
    self._warned = self._ending = False
    self._handed_over = False  # all messages, to the process
    self._process: subprocess.Popen | None = None
    self._thread = threading.Thread(target=self._feed, args=(target, run_dir), daemon=True)
    self._thread.start()

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Finite numbers at `step` env steps."""
    self._put("scalars", step, dict(values))

  def video(self, step: int, name: str, frames: np.ndarray) -> None:
    """frames: uint8 [T, H, W, 3]."""
    self._put("video", step, name, frames)

  def finish(self) -> None:
    """Nothing is logged after this; does not wait."""
    self._ending = True
    with contextlib.suppress(queue.Full):
      self._queue.put_nowait(None)

  def join(self, seconds: float) -> bool:
    """Whether all was sent, and the process has ended, within so many seconds. After `finish`."""
    self._thread.join(seconds)
    return not self._thread.is_alive()

  def leave(self) -> None:
    """Waits no longer: a process that has all messages sends them by itself, for a while, and another one is ended."""
    if self._handed_over:
      self._warn("it is still sending, and goes on by itself for at most 30 s", "the run is over")
      return
    self._warn("it does not take what is left to be sent, which is lost", "the run is over")
    if self._process:
      self._process.kill()
    self._thread.join(_LOOK_SECONDS)

  def _put(self, *message: Any) -> None:
    try:
      self._queue.put_nowait(message)
    except queue.Full:
      self._warn(f"{self._queue.maxsize} messages wait for it, and more are lost")

  def _feed(self, target: str, run_dir: Path) -> None:
    """The thread: starts the process and sends it what waits."""
    try:
      connection = self._start(run_dir)
    except (OSError, ValueError) as error:
      self._warn(str(error))
      return
    with connection:
      try:
        connection.send((self.name, target, str(run_dir)))
        self._send_all(connection)
        self._handed_over = True
      except OSError:
        pass  # it is gone, and has told why, or not
      try:
        while True:
          self._warn(connection.recv())
      except (OSError, EOFError):
        pass
    if self._process and self._process.wait():
      self._warn(f"its process ended with status {self._process.returncode}")

  def _send_all(self, connection: Connection) -> None:
    """Sends messages until `finish` was called, and the one that says so."""
    while True:
      while connection.poll():
        self._warn(connection.recv())
      with contextlib.suppress(queue.Empty):
        message = self._queue.get(timeout=_LOOK_SECONDS)
        connection.send(message)
        if message is None:
          return
      if self._ending and self._queue.empty():  # there was no room for its message
        connection.send(None)
        return

  def _start(self, run_dir: Path) -> Connection:
    path = make_folder(run_dir) / f"{self.name}.log"
    log = files.open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours, theirs = socket.socketpair()
    try:
      # A group of its own, so that Ctrl-C asks the run alone.
      self._process = subprocess.Popen(
        [sys.executable, "-P", "-m", "dreamerax.loggers.worker", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
      )
    finally:
      theirs.close()
      os.close(log)
    return Connection(ours.detach())

  def _warn(self, why: str, run: str = "the run goes on") -> None:
    """Once in a run."""
    if not self._warned:
      self._warned = True
      _log.warning("--log %s: %s; %s. See %s/%s.log in the run directory", self.name, why, run, FOLDER, self.name)


def close(
  loggers: Sequence[LoggerProcess],
  say: Callable[[str], None] = print,
  stopped: Callable[[], bool] = lambda: False,
  seconds: float = _END_SECONDS,
) -> None:
  """Ends loggers together: waits until all was sent, but at most so many seconds, or until a person asks to leave.

  Args:
    say: told what is waited for, where that takes longer than a moment.
    stopped: whether a person has asked to leave. Where they had done so before, the waiting goes on.
  """
  for logger in loggers:
    logger.finish()
  began, before, told = time.monotonic(), stopped(), False
  left = list(loggers)
  with contextlib.suppress(KeyboardInterrupt):
    while left := [logger for logger in left if not logger.join(0.05)]:
      waited = time.monotonic() - began
      if waited >= seconds or stopped() != before:
        break
      if waited >= _TELL_SECONDS and not told:
        told = True
        names = ", ".join(logger.name for logger in left)
        say(f"waiting for {names} to send what is left, at most {seconds:g} s; Ctrl-C ends the waiting")
  for logger in left:
    logger.leave()
