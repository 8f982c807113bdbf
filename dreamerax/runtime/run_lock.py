"""Keeps a second trainer out of a run directory."""

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dreamerax import files

_log = logging.getLogger(__name__)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_FILES_ALONE = (*_UNSUPPORTED, errno.EBADF, errno.EINVAL, errno.EISDIR)  # NFS locks what is open for writing
_LOCK = "lock"


class RunLock:
  """Holds `logdir` for this process, from `with` on until it is left or the process ends, by kill -9 too.

  The operating system's locks on the directory and on logdir/lock count (flock): the first holds when the file is removed, the
  second where directories cannot be locked. The file itself stays with a run, and says who held it last; where nothing else
  was written meanwhile, because the run was refused, it is removed with the empty directories that were made. Where the file
  system has no such locks, one warning says so.
  """

  def __init__(self, logdir: Path, say: Callable[[str], None] = _log.warning):
    """
    Args:
      logdir: made, with the directories above it, where it is missing.
      say: told once where the file system cannot lock.
    """
    self._logdir, self._say = Path(logdir), say
    self._open: list[int] = []  # descriptors that hold the locks
    self._made: list[Path] = []  # directories, the innermost first
    self._before: set[str] = set()  # names in `logdir`

  def __enter__(self) -> "RunLock":
    """
    Raises:
      ValueError: another process trains there, or nothing can be written there.
    """
    try:
      self._made = [path for path in (self._logdir, *self._logdir.parents) if not path.exists()]
      self._logdir.mkdir(parents=True, exist_ok=True)
      # Not inherited by programs that this process starts, which would hold the locks after its end.
      self._open.append(os.open(self._logdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
      self._lock(self._open[0], _FILES_ALONE)
      self._before = set(os.listdir(self._logdir))
      file = files.open_regular(self._logdir / _LOCK, os.O_RDWR | os.O_CREAT)
      self._open.append(file)
      if not self._lock(file, _UNSUPPORTED):
        self._say(f"{self._logdir} is on a file system without locks: take care that no other process trains in it")
      row = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
      os.ftruncate(file, 0)
      os.pwrite(file, json.dumps(row).encode() + b"\n", 0)
    except BaseException as error:
      self._release()
      if isinstance(error, OSError):
        raise ValueError(_unusable(self._logdir, error)) from error
      raise
    return self

  def __exit__(self, *_: object) -> None:
    try:
      self._remove_what_is_empty()
    except OSError:
      pass  # somebody else is at work there
    finally:
      self._release()

  def _remove_what_is_empty(self) -> None:
    new = [self._logdir / name for name in set(os.listdir(self._logdir)) - self._before]
    folders = [path for path in new if path.name != _LOCK]
    if not new or any(not path.is_dir() or any(path.iterdir()) for path in folders):
      return
    for path in folders:
      path.rmdir()
    (self._logdir / _LOCK).unlink(missing_ok=True)
    for path in self._made:
      path.rmdir()

  def _release(self) -> None:
    while self._open:
      os.close(self._open.pop())

  def _lock(self, descriptor: int, unsupported: tuple[int, ...]) -> bool:
    """False where the file system cannot."""
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ValueError(
        f"logdir={self._logdir} is in use by {_holder(self._logdir)}: stop it, or choose another --logdir"
      ) from None
    except OSError as error:
      if error.errno not in unsupported:
        raise
      return False
    return True


def holder(logdir: Path) -> str | None:
  """Names the process that trains in `logdir`; None if none does, or if that cannot be
  told. Changes nothing."""
  return _holder(logdir) if _is_locked(logdir) or _is_locked(logdir / _LOCK) else None


def _is_locked(path: Path) -> bool:
  try:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  except OSError:
    return False
  try:
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except BlockingIOError:
    return True
  except OSError:
    return False
  finally:
    os.close(descriptor)
  return False


def _holder(logdir: Path) -> str:
  try:
    row = json.loads(files.read_regular(logdir / _LOCK))
    return f"process {row['pid']} on {row['host']} (since {row['since']})"
  except (OSError, ValueError, KeyError, TypeError):  # it has begun this moment, or somebody has removed the file
    return "another process"


def _unusable(logdir: Path, error: OSError) -> str:
  if logdir.exists() and not logdir.is_dir():
    return f"logdir={logdir} is a file: move it away, or choose another --logdir"
  where = f" ({error.filename})" if error.filename else ""
  return f"logdir={logdir} cannot be written: {error.strerror}{where}: mend that, or choose another --logdir"


def _now() -> str:
  return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
