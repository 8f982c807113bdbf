"""`dreamerax runs`: the runs in a folder, one a line."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from dreamerax import run_list
from dreamerax.commands import printing
from dreamerax.run_list import RunSummary

_HEADER = ("run", "task", "preset", "steps", "return", "state", "changed")


@dataclass(frozen=True)
class Arguments:
  """Lists the runs in a folder, those that changed last at the end. The return is that of the last evaluation; with a ~ it is
  that of the last training episode, where there was no evaluation."""

  folder: Path
  """Where to look, at any depth up to four folders; without one: runs."""


def run(arguments: Arguments) -> int:
  """Prints a table; returns the exit status.

  Raises:
    FileNotFoundError: the folder does not exist. ValueError: it is a file.
  """
  if not arguments.folder.exists():
    raise FileNotFoundError(f"{arguments.folder} does not exist: no run was begun here, or name another folder")
  if not arguments.folder.is_dir():
    raise ValueError(f"{arguments.folder} is a file: name a folder")
  found = run_list.find(arguments.folder)
  if not found:
    print(f"no runs in {arguments.folder}")
    return 0
  console = printing.console()
  console.print(printing.table(_HEADER, [_row(each, arguments.folder) for each in found], {"running": "green"}))
  return 0


def _row(run: RunSummary, folder: Path) -> tuple[str, ...]:
  name = os.path.relpath(run.path, folder) if run.path != folder else str(run.path)
  if not run.total:
    return name, "", "", "", "", run.state, _ago(run.changed)
  unit = "" if run.unit == "env steps" else f" {run.unit}"
  steps = f"{run.steps:,}/{run.total:,}{unit}"
  last = "" if run.last_return is None else f"{'' if run.evaluated else '~'}{run.last_return:.1f}"
  return name, run.task, run.preset, steps, last, run.state, _ago(run.changed)


def _ago(moment: float) -> str:
  """The age in its largest unit."""
  seconds = max(0.0, time.time() - moment)
  for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
    if seconds >= 2 * size:
      return f"{seconds / size:.0f} {unit} ago"
  return f"{seconds:.0f} s ago"
