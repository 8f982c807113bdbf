"""The names in a folder of checkpoints, changed so that a crash at any moment loses none.

<env steps>: whole. <env steps>.new: being written. <env steps>.old: being deleted. <env steps>.bad: damaged, left alone.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from dreamerax import files
from dreamerax.runtime.checkpoint import checksums
from dreamerax.runtime.checkpoint.metadata import RunState

FOLDER = "checkpoints"  # in a run directory
PACKED = "agent"  # in a run directory without checkpoints: see `packed`
_NEW, _OLD, _BAD = ".new", ".old", ".bad"


def find_steps(folder: Path, suffix: str = "") -> list[int]:
  """Env steps of the directories called <env steps><suffix>, lowest first; none where there is no folder."""
  if not folder.is_dir():
    return []
  names = (path.name.removesuffix(suffix) for path in folder.iterdir() if path.name.endswith(suffix) and path.is_dir())
  return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)


def read_saved(folder: Path) -> list[RunState]:
  """Reads the run states of the checkpoints, newest first; those that cannot be read
  are left out."""
  found = []
  for step in reversed(find_steps(folder)):
    with suppress(OSError, ValueError, KeyError, TypeError):
      found.append(RunState.read(folder / str(step)))
  return found


def begin(folder: Path, step: int) -> Path:
  """An empty directory to write a checkpoint into."""
  new = folder / f"{step}{_NEW}"
  _remove(new)
  new.mkdir()
  return new


def publish(new: Path) -> None:
  """Gives a checkpoint with its manifest the name that counts. What had that name is deleted with the older ones."""
  final = new.with_suffix("")
  old = _rename(final, _OLD) if final.exists() else None  # of the same env steps: saved before the last updates
  try:
    new.rename(final)
  except OSError:
    if old:
      old.rename(final)
    raise
  files.sync_directory(new.parent)


def delete_older(folder: Path, step: int) -> None:
  """Keeps the checkpoint before `step`, and deletes those before that one."""
  for older in [other for other in find_steps(folder) if other < step][:-1]:
    _rename(folder / str(older), _OLD)  # so that half of one is never taken for one
  for older in find_steps(folder, _OLD):
    _remove(folder / f"{older}{_OLD}")


def discard(folder: Path, step: int) -> None:
  """Removes what `begin` made, as far as that goes."""
  shutil.rmtree(folder / f"{step}{_NEW}", ignore_errors=True)


def pass_over(folder: Path, step: int) -> None:
  """Takes the name from every checkpoint after `step`: the run goes on from there, and must never return to these."""
  for newer in find_steps(folder):
    if newer > step:
      _rename(folder / str(newer), _BAD)


def clean_up(folder: Path) -> None:
  """Removes what a crash has left half-written or half-deleted; what only lacked its name gets it."""
  for step in find_steps(folder, _NEW):
    new = folder / f"{step}{_NEW}"
    if checksums.find_problem(new) is None:
      publish(new)
    else:
      _remove(new)
  for step in find_steps(folder, _OLD):
    _remove(folder / f"{step}{_OLD}")


def _rename(path: Path, suffix: str) -> Path:
  target = path.with_name(path.name + suffix)
  _remove(target)
  return path.rename(target)


def _remove(path: Path) -> None:
  if path.exists():
    shutil.rmtree(path)
