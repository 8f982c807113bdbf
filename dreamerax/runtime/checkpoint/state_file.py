"""A state's arrays on the disk, by orbax: in a directory of any name, and read back to see that they are there."""

import errno
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orbax.checkpoint
import tensorstore

STATE = "state"  # in a checkpoint
_MANIFEST = "manifest.ocdbt"
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")  # in what tensorstore raises
_CLOSED = "Event loop is closed"
_ORBAX = os.path.dirname(orbax.checkpoint.__file__)
_MIB = 2**20
_ARRAY = "/.zarray"  # ends the key under which an array's shape is stored


@contextmanager
def plain_name(folder: Path) -> Iterator[Path]:
  """The folder under a name without special characters, while the context lasts.

  Orbax finds what it has written by a pattern that begins with the path, so that brackets in any directory's name hide it.
  """
  descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  try:
    yield Path(f"/proc/self/fd/{descriptor}")
  finally:
    os.close(descriptor)


def check_readable(checkpoint: Path, arrays: int) -> None:
  """Whether a state that was just saved lists all its arrays.

  Raises:
    ValueError: it does not.
  """
  with plain_name(checkpoint) as folder:
    base = {"driver": "file", "path": f"{folder / STATE}/"}
    keys = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result().list().result()
  found = sum(key.endswith(_ARRAY.encode()) for key in keys)
  if found != arrays:
    raise ValueError(f"{found} of {arrays} arrays can be read back from {checkpoint / STATE}")


def say_once() -> None:
  """Keeps orbax from printing the traceback of each of its threads: `reason` says in a line why a save has failed."""
  if not isinstance(sys.unraisablehook, _WithoutClosedLoops):
    sys.unraisablehook = _WithoutClosedLoops(sys.unraisablehook)
  logging.getLogger("absl").addFilter(_is_not_of_orbax)
  logging.getLogger("asyncio").addFilter(_is_not_of_storage)  # futures of writes that orbax has given up


def reason(error: Exception) -> str:
  """Says in a few words why the storage failed."""
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  found = _OS_ERROR.search(str(error))
  return os.strerror(int(found[1])) if found else (str(error).partition("\n")[0] or type(error).__name__)


@dataclass(frozen=True)
class _WithoutClosedLoops:
  """Passes on what Python cannot raise, but for this: where one write has failed, orbax closes the event loop that tensorstore
  tells of the others, and tensorstore's threads find it closed."""

  previous: Callable[[Any], object]

  def __call__(self, unraisable: Any) -> None:
    error = unraisable.exc_value
    if not (isinstance(error, RuntimeError) and str(error) == _CLOSED and unraisable.object is None):
      self.previous(unraisable)


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
  return record.exc_info is None or _ORBAX not in record.pathname


def _is_not_of_storage(record: logging.LogRecord) -> bool:
  error = record.exc_info[1] if record.exc_info else None
  return not isinstance(error, OSError) and _OS_ERROR.search(str(error)) is None


def check_space(folder: Path, wanted: int) -> None:
  """Whether `wanted` bytes fit on the disk, so that orbax need not find out in the middle of a save.

  Raises:
    OSError: they do not.
  """
  free = shutil.disk_usage(folder).free
  if free < wanted:
    what = f"{os.strerror(errno.ENOSPC)}: {free / _MIB:,.1f} MiB are free, and it takes {wanted / _MIB:,.1f} MiB"
    raise OSError(errno.ENOSPC, what)


def find_problem(checkpoint: Path) -> str | None:
  """Says what keeps a checkpoint whose files are whole from being read; None: nothing
  is known to."""
  if (checkpoint / STATE).is_dir() and not (checkpoint / STATE / _MANIFEST).exists():
    return f"{STATE}/{_MANIFEST} was never written, and its arrays cannot be read"
  return None
