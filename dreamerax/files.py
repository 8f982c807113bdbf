"""Writes small files so that a crash or a full disk leaves the old content or the new, and opens files without links."""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

_WANDB = "wandb"


def write_whole(path: Path, content: str | bytes, *, replace: bool = True) -> bool:
  """Gives a file its content, or leaves it as it was; returns whether it was written.

  Nothing is written where the content is there already. Otherwise it goes to .<name>.new beside the file, reaches the disk,
  and gets the name; then the name reaches the disk. Writers of one file wait for each other. What a killed writer has left
  is used up by the next.

  Args:
    content: text is written as UTF-8.
    replace: False leaves a file alone that is there, whatever it holds.

  Raises:
    ValueError: there is a symbolic link, a directory or a device under the name.
    OSError: the directory is missing or cannot be written, or the disk is full; the old content is there.
  """
  data = content.encode() if isinstance(content, str) else content
  path = Path(path)
  with suppress(FileNotFoundError):
    if read_regular(path) == data or not replace:
      return False
  new = path.with_name(f".{path.name}.new")
  descriptor = _begin(new)
  try:
    _write(descriptor, data)
    if replace:
      os.replace(new, path)  # from here on another writer may have a file of that name
    else:
      os.link(new, path)
      new.unlink()
  except BaseException as error:
    with suppress(FileNotFoundError):
      new.unlink()
    if isinstance(error, FileExistsError):
      return False
    raise
  finally:
    os.close(descriptor)
  sync_directory(path.parent)
  return True


def open_regular(path: Path, flags: int) -> int:
  """A descriptor of a regular file, not inherited by programs; one that O_CREAT makes has the mode that the umask leaves.

  Raises:
    ValueError: there is a symbolic link, a directory, a pipe or a device under the name, which is named; or the file is to be
      written and has another name, a hard link, too.
    OSError: as `os.open`.
  """
  descriptor = _open(path, flags)
  if flags & (os.O_WRONLY | os.O_RDWR) and os.fstat(descriptor).st_nlink > 1:
    os.close(descriptor)
    raise ValueError(f"{path} has another name too (a hard link), and what is written here would appear there: copy it")
  return descriptor


def _open(path: Path, flags: int) -> int:
  """`open_regular` of a file with any number of names."""
  try:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
  except OSError as error:
    if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
      raise _irregular(path) from None
    raise
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise _irregular(path)
  return descriptor


def read_regular(path: Path) -> bytes:
  """Reads a file. Raises as `open_regular` does."""
  with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
    return file.read()


def refuse_links(folder: Path) -> None:
  """Whether all that is in a folder, at any depth, is its own, so that reading and writing there touches nothing else.

  What is in a directory called wandb is not looked at: Weights & Biases links its newest files, replaces these links without
  following them, and nothing else reads or writes there.

  Raises:
    ValueError: names a symbolic link, a pipe or a device that is in it.
  """
  pending = [folder]
  while pending:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as entries:
      for entry in entries:
        if entry.is_dir(follow_symlinks=False):
          if entry.name != _WANDB:
            pending.append(Path(entry.path))
        elif not entry.is_file(follow_symlinks=False) and os.path.lexists(entry.path):
          raise _irregular(Path(entry.path))


def check_permitted(folder: Path) -> None:
  """Whether this user may list a folder and reach what is in it; nothing is said of what is no folder.

  Raises:
    PermissionError: they may not.
  """
  try:
    os.listdir(folder)
    os.stat(os.path.join(folder, "."))
  except (FileNotFoundError, NotADirectoryError):
    return
  except PermissionError as error:
    raise PermissionError(error.errno, error.strerror, str(folder)) from None


def sync_directory(path: Path) -> None:
  """Names that were given or changed in a directory reach the disk."""
  descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _begin(new: Path) -> int:
  """The empty temporary file, locked; the lock of a writer that is gone went with it."""
  while True:
    descriptor = _open(new, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):  # a file system without locks
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
      if os.path.samestat(mine := os.fstat(descriptor), os.lstat(new)):
        if mine.st_nlink == 1:
          os.ftruncate(descriptor, 0)
          return descriptor
        new.unlink()  # a writer was killed when its file had got the name that counts
    os.close(descriptor)  # the writer before has renamed it meanwhile


def _write(descriptor: int, data: bytes) -> None:
  rest = memoryview(data)
  while rest:
    rest = rest[os.write(descriptor, rest) :]
  os.fsync(descriptor)


def _irregular(path: Path) -> ValueError:
  if path.is_symlink():
    return ValueError(f"{path} is a symbolic link, and nothing is read or written through one: replace it by a file")
  kind = "a directory" if path.is_dir() else "a pipe or a device"
  return ValueError(f"{path} is {kind}, and should be a file: move it away")
