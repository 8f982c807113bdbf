"""The process of one logger: opens it, hands it what arrives, and tells of the first failure.

Started by `dreamerax.loggers.process` as `python -m dreamerax.loggers.worker CONNECTION`, with a file descriptor.
"""

import contextlib
import json
import os
import queue
import sys
import tempfile
import threading
import time
import traceback
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import imageio.v3 as imageio

from dreamerax.loggers.base import Logger, RunInfo, recall, remember

_FRAMES_PER_SECOND = 20
_WAITING = 1000  # messages that may wait for the logger
_LEAVE_SECONDS = 30.0  # to send what is left in, once nothing more comes, or the owner is gone


def main(connection: Connection) -> None:
  """Logs until the other side hangs up."""
  threading.Thread(target=_end_with_owner, args=(os.getppid(),), daemon=True).start()
  name, target, run_dir = connection.recv()
  messages: queue.Queue[tuple[Any, ...] | None] = queue.Queue(_WAITING)
  threading.Thread(target=_receive, args=(connection, messages), daemon=True).start()
  try:
    logger = _open(name, target, Path(run_dir))
  except BaseException as error:  # whatever it raises, and SystemExit too
    traceback.print_exc()
    connection.send(_words(error))
    sys.exit(1)
  failed = False
  while (message := messages.get()) is not None:
    try:
      _log(logger, *message)
    except Exception as error:
      traceback.print_exc()
      if not failed:
        connection.send(_words(error))
      failed = True
  try:
    logger.close()
  except Exception as error:
    traceback.print_exc()
    with contextlib.suppress(OSError):
      connection.send(_words(error))


def _receive(connection: Connection, messages: queue.Queue[tuple[Any, ...] | None]) -> None:
  """Takes what arrives, so that the owner need not wait for the logger; leaves a while after the last message."""
  message: tuple[Any, ...] | None = ()
  while message is not None:
    try:
      message = connection.recv()
    except (EOFError, OSError):
      message = None
    messages.put(message)
  time.sleep(_LEAVE_SECONDS)
  os._exit(1)


def _open(name: str, target: str, run_dir: Path) -> Logger:
  module, _, attribute = target.partition(":")
  path = run_dir / "config.json"
  config = json.loads(path.read_text()) if path.exists() else {}
  logger = getattr(import_module(module), attribute)(RunInfo(run_dir, config, recall(run_dir, name)))
  remember(run_dir, name, logger.id)
  return logger


def _log(logger: Logger, kind: str, step: int, *rest: Any) -> None:
  if kind == "scalars":
    logger.scalars(step, *rest)
    return
  name, frames = rest
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / f"{name.replace('/', '-')}.gif"
    imageio.imwrite(path, frames, duration=1000 / _FRAMES_PER_SECOND, loop=0)
    logger.video(step, name, path)


def _words(error: BaseException) -> str:
  lines = str(error).strip().splitlines() or [""]
  return f"{type(error).__name__}: {lines[0]}"


def _end_with_owner(owner: int) -> None:
  """Leaves a while after the owner is gone, though the logger may hang."""
  while os.getppid() == owner:
    time.sleep(1)
  time.sleep(_LEAVE_SECONDS)
  os._exit(1)


if __name__ == "__main__":
  main(Connection(int(sys.argv[1])))
