"""One trainer at a time in a run directory."""

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

_log = logging.getLogger(__name__)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class RunLock:
  """Holds `logdir` for this process, from `with` on until it is left or the process ends, by kill -9 too.

  The operating system's lock on logdir/lock counts (flock); the file itself stays, and says who held it last. Where the
  file system has no such locks, one warning says so.
  """

  def __init__(self, logdir: Path, say: Callable[[str], None] = _log.warning):
    """
    Args:
      logdir: made, with the directories above it, where it is missing.
      say: told once where the file system cannot lock.
    """
    self._logdir, self._say = Path(logdir), say
    self._file: int | None = None

  def __enter__(self) -> "RunLock":
    """
    Raises:
      ValueError: another process trains there, or nothing can be written there.
    """
    try:
      self._logdir.mkdir(parents=True, exist_ok=True)
      # Not inherited by programs that this process starts, which would hold the lock after its end.
      self._file = os.open(self._logdir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
      self._lock(self._file)
      row = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
      os.ftruncate(self._file, 0)
      os.pwrite(self._file, json.dumps(row).encode() + b"\n", 0)
    except BaseException as error:
      self.__exit__()
      if isinstance(error, OSError):
        raise ValueError(_unusable(self._logdir, error)) from error
      raise
    return self

  def __exit__(self, *_: object) -> None:
    if self._file is not None:
      os.close(self._file)
      self._file = None

  def _lock(self, file: int) -> None:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ValueError(
        f"logdir={self._logdir} is in use by {_holder(file)}: stop it, or choose another --logdir"
      ) from None
    except OSError as error:
      if error.errno not in _UNSUPPORTED:
        raise
      self._say(f"{self._logdir} is on a file system without locks: take care that no other process trains in it")


def holder(logdir: Path) -> str | None:
  """Who trains in `logdir` now, in words; None if nobody does, or if that cannot be told. Changes nothing."""
  try:
    file = os.open(logdir / "lock", os.O_RDONLY | os.O_CLOEXEC)
  except OSError:
    return None
  try:
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except BlockingIOError:
    return _holder(file)
  except OSError:
    return None
  finally:
    os.close(file)
  return None


def _holder(file: int) -> str:
  try:
    row = json.loads(os.pread(file, 4096, 0))
    return f"process {row['pid']} on {row['host']} (since {row['since']})"
  except (ValueError, KeyError, TypeError):  # it has begun this moment, and not written yet
    return "another process"


def _unusable(logdir: Path, error: OSError) -> str:
  if logdir.exists() and not logdir.is_dir():
    return f"logdir={logdir} is a file: move it away, or choose another --logdir"
  where = f" ({error.filename})" if error.filename else ""
  return f"logdir={logdir} cannot be written: {error.strerror}{where}: mend that, or choose another --logdir"


def _now() -> str:
  return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
