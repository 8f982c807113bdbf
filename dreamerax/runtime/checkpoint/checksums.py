"""Sizes and CRC-32 of all files in a folder, so that damage done to them later is noticed."""

import os
import stat
import zlib
from pathlib import Path

from dreamerax import files

MANIFEST = "manifest.txt"
_CHUNK = 1 << 20  # bytes


def write_manifest(folder: Path) -> None:
  """Writes folder/manifest.txt; when this returns, the folder and what it holds have reached the disk.

  One line per file: its checksum (CRC-32, 8 hex digits), its bytes, its path within the folder. The first line is the
  checksum of the lines below it.

  Raises:
    OSError: a file cannot be read, or the manifest not be written.
  """
  found = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
  lines = [
    f"{_checksum(path, sync=True)} {path.stat().st_size} {path.relative_to(folder).as_posix()}\n" for path in found
  ]
  body = "".join(lines).encode()
  files.write_whole(folder / MANIFEST, _hexadecimal(zlib.crc32(body)).encode() + b"\n" + body)
  for path in (folder, *folder.rglob("*")):
    if path.is_dir():
      files.sync_directory(path)


def find_problem(folder: Path) -> str | None:
  """Says what differs between the folder and its manifest, in words; None: it is whole.
  Files beside it do no harm."""
  try:
    head, _, body = (folder / MANIFEST).read_bytes().partition(b"\n")
  except FileNotFoundError:
    return f"it is unfinished, or of another version of dreamerax: {MANIFEST} is missing"
  except OSError as error:
    return f"{MANIFEST} cannot be read: {error.strerror}"
  if head.decode(errors="replace") != _hexadecimal(zlib.crc32(body)):
    return f"{MANIFEST} is damaged"
  try:
    listed = [line.split(" ", 2) for line in body.decode().splitlines()]
    sizes = [(name, int(size), checksum) for checksum, size, name in listed]
  except ValueError:
    return f"{MANIFEST} is damaged"
  for name, size, checksum in sizes:
    problem = _problem_of_file(folder, name, size, checksum)
    if problem is not None:
      return f"{name} {problem}"
  return None


def _problem_of_file(folder: Path, name: str, size: int, checksum: str) -> str | None:
  path = folder / name
  if not path.is_relative_to(folder) or ".." in path.parts[len(folder.parts) :]:
    return f"is not in the folder of its {MANIFEST}"
  try:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
      return "is no file"
    if found.st_size != size:
      return f"has {found.st_size:,} bytes instead of {size:,}"
    return None if _checksum(path) == checksum else "is damaged: its checksum differs"
  except FileNotFoundError:
    return "is missing"
  except OSError as error:
    return f"cannot be read: {error.strerror}"


def _checksum(path: Path, *, sync: bool = False) -> str:
  value = 0
  with path.open("rb", buffering=0) as file:
    while chunk := file.read(_CHUNK):
      value = zlib.crc32(chunk, value)  # lets other threads run meanwhile
    if sync:
      os.fsync(file.fileno())
  return _hexadecimal(value)


def _hexadecimal(checksum: int) -> str:
  return f"{checksum:08x}"
