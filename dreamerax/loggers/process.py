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
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax import files
from dreamerax.loggers.base import FOLDER, make_folder

_log = logging.getLogger(__name__)
_WAITING = 1000  # messages that may wait while a logger is slow
_LOOK_SECONDS = 1.0  # between looks for what a logger has to tell


class LoggerProcess:
  """Starts a logger. Whatever becomes of it, the run goes on: a failure is one warning."""

  def __init__(self, name: str, target: str, run_dir: Path, *, waiting: int = _WAITING, leave_seconds: float = 20.0):
    """
    Args:
      name: of the logger, for people and for its files.
      target: "module:Class" of a `Logger`.
      waiting: messages that may wait; more are lost, which is said once.
      leave_seconds: how long `close` waits for what is left to be sent.
    """
    self._name, self._leave_seconds = name, leave_seconds
    self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue(waiting)
    self._warned = False
    self._process: subprocess.Popen | None = None
    self._thread = threading.Thread(target=self._feed, args=(target, run_dir), daemon=True)
    self._thread.start()

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Finite numbers at `step` env steps."""
    self._put("scalars", step, dict(values))

  def video(self, step: int, name: str, frames: np.ndarray) -> None:
    """frames: uint8 [T, H, W, 3]."""
    self._put("video", step, name, frames)

  def close(self) -> None:
    """Waits for what is left to be sent, at most `leave_seconds`, and ends the process."""
    deadline = time.monotonic() + self._leave_seconds
    with contextlib.suppress(queue.Full):
      self._queue.put(None, timeout=self._leave_seconds)
    self._thread.join(max(0.0, deadline - time.monotonic()))
    process = self._process
    if process is None:
      return
    try:
      process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
      self._warn(f"not all was sent within {self._leave_seconds:g} s, and the rest is not")
      process.kill()
      process.wait()

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
        connection.send((self._name, target, str(run_dir)))
        self._send_all(connection)
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
    """Until `close` was called, and with the message that says so."""
    while True:
      while connection.poll():
        self._warn(connection.recv())
      with contextlib.suppress(queue.Empty):
        message = self._queue.get(timeout=_LOOK_SECONDS)
        connection.send(message)
        if message is None:
          return

  def _start(self, run_dir: Path) -> Connection:
    path = make_folder(run_dir) / f"{self._name}.log"
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

  def _warn(self, why: str) -> None:
    """Once in a run."""
    if not self._warned:
      self._warned = True
      _log.warning(
        "--log %s: %s; the run goes on. See %s/%s.log in the run directory", self._name, why, FOLDER, self._name
      )
