"""The runs in a folder as far as a list tells them, without reading whole files or importing what trains."""

import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dreamerax.files import check_permitted, open_regular, read_regular
from dreamerax.runtime.run_lock import holder

RUNS = Path("runs")  # where `train` keeps runs that were given no directory
LATEST = "latest"
_RUN_OPTIONS = ("--logdir", "--init-world-model", "--init_world_model", "--policy", "--config")
_RUN_COMMANDS = (
  "eval",
  "compare",
  "plot",
  "video",
  "dream",
  "export",
  "pack",
  "doctor",
)  # their positional arguments are runs
_OTHER_OPTIONS = ("--out", "--title", "--video", "--against", "--trust")  # of these commands: what follows is no run
_CONFIG, _METRICS, _CHECKPOINTS, _PACKED = "config.json", "metrics.jsonl", "checkpoints", "agent"
_TAIL = 2**16  # bytes of metrics.jsonl that are read first
_LONGER_TAIL = 2**22  # where those tell of no episode
_DEPTH = 4  # folders in folders: of sweeps, of seeds


class RunSummary(NamedTuple):
  """A line of the list."""

  path: Path
  task: str = ""
  preset: str = ""
  seed: int | None = None
  steps: int = 0
  total: int = 0
  unit: str = "env steps"  # or updates, of a world model that is trained alone
  last_return: float | None = None
  evaluated: bool = False  # whether `last_return` is an evaluation's and not a training episode's
  state: str = ""  # running, finished, interrupted, never saved, packed, or why the run cannot be read
  changed: float = 0.0  # seconds since the epoch


def find(folder: Path) -> list[RunSummary]:
  """The runs at and below `folder`, those that changed last come last. What cannot be read is listed with the reason.

  Raises:
    PermissionError: this user may not read `folder`.
  """
  check_permitted(folder)
  return sorted((summarize(path) for path in _run_dirs(folder, _DEPTH)), key=lambda run: run.changed)


def newest(folder: Path = RUNS) -> Path | None:
  """The run at or below `folder` that changed last."""
  return max(_run_dirs(folder, _DEPTH), key=_changed, default=None)


def resolve(name: str) -> str:
  """`name`, or the newest run's directory, which stderr is told, if `name` is "latest" and nothing has that name.

  Raises:
    ValueError: there is no run. PermissionError: this user may not read the folder of runs.
  """
  if name != LATEST or os.path.lexists(name):
    return name
  check_permitted(RUNS)
  found = newest()
  if found is None:
    raise ValueError(f"{LATEST}: there is no run in {RUNS.absolute()}: train one, or name a run directory")
  print(f"{LATEST}: {found}", file=sys.stderr)
  return str(found)


def with_latest(command: str, arguments: Sequence[str]) -> list[str]:
  """A command's arguments with the newest run's directory where a run directory is called "latest".

  Raises what `resolve` raises.
  """
  made = []
  for before, argument in zip(["", *arguments], arguments, strict=False):
    option, equals, value = argument.partition("=")
    if equals and option in _RUN_OPTIONS:
      made.append(f"{option}={resolve(value)}")
    elif before in _RUN_OPTIONS or (command in _RUN_COMMANDS and before not in _OTHER_OPTIONS):
      made.append(resolve(argument))
    else:
      made.append(argument)
  return made


def summarize(run_dir: Path) -> RunSummary:
  """One run; never raises."""
  try:
    data = json.loads(read_regular(run_dir / _CONFIG))
    recorded, config = data.get("recorded"), data["config"]
    about = RunSummary(
      run_dir,
      task=str(config["env"]["task"]),
      preset=str(data.get("preset") or ""),
      seed=int(config["seed"]),
      total=int(recorded["loop"]["updates"] if recorded else config["env_steps"]),
      unit="updates" if recorded else "env steps",
      changed=_changed(run_dir),
    )
    about = about._replace(**_last_metrics(run_dir / _METRICS))
    return about._replace(state=_state(about))
  except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
    why = error if isinstance(error, (OSError, ValueError)) else type(error).__name__
    if isinstance(error, OSError):
      why = error.strerror or error
    reason = " ".join(str(why).replace(f"{run_dir}/", "").split())[:60]
    return RunSummary(run_dir, state=f"cannot be read: {reason}", changed=_changed(run_dir))


def _run_dirs(folder: Path, depth: int) -> Iterator[Path]:
  """Below a run there is no other. Links are not followed, but for `folder` itself. What may not be read could be a run."""
  try:
    if (folder / _CONFIG).is_file():
      yield folder
      return
    with os.scandir(folder) as entries:
      inner = [entry.path for entry in entries if depth and entry.is_dir(follow_symlinks=False)]
  except PermissionError:
    yield folder
    return
  except OSError:
    return
  for path in inner:
    yield from _run_dirs(Path(path), depth - 1)


def _changed(run_dir: Path) -> float:
  times = [0.0]
  for name in (_METRICS, _CONFIG):
    try:
      times.append((run_dir / name).stat().st_mtime)
    except OSError:
      continue
  return max(times)


def _state(run: RunSummary) -> str:
  if holder(run.path):
    return "running"
  try:
    saved = any(name.isdecimal() for name in os.listdir(run.path / _CHECKPOINTS))
  except (FileNotFoundError, NotADirectoryError):
    saved = False
  if not saved:
    return "packed" if (run.path / _PACKED).is_dir() else "never saved"
  return "finished" if run.steps >= run.total else "interrupted"


def _last_metrics(path: Path) -> dict[str, Any]:
  try:
    for size in (_TAIL, _LONGER_TAIL):
      lines = _tail(path, size)
      found = _newest_return(lines)
      if found or path.stat().st_size <= size:
        break
  except FileNotFoundError:
    return {}
  steps = next((int(row["env_steps"]) for row in _newest_first(lines, "env_steps")), 0)
  return {"steps": steps, **found}


def _tail(path: Path, size: int) -> list[bytes]:
  """The last whole lines."""
  with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
    start = max(0, file.seek(0, os.SEEK_END) - size)
    file.seek(start)
    lines = file.read(size).splitlines(keepends=True)[bool(start) :]
  return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines


def _newest_first(lines: list[bytes], name: str) -> Iterator[dict]:
  """The JSON objects among the lines that have this name; only lines with its letters are parsed."""
  for line in reversed(lines):
    if name.encode() in line:
      try:
        row = json.loads(line)
      except ValueError:
        continue
      if isinstance(row, dict) and name in row:
        yield row


def _newest_return(lines: list[bytes]) -> dict[str, Any]:
  for name in ("eval/return", "episode/return"):
    for row in _newest_first(lines, name):
      if isinstance(row[name], (int, float)):
        return {"last_return": float(row[name]), "evaluated": name == "eval/return"}
  return {}


@contextmanager
def new_run_dir(name: str, folder: Path = RUNS) -> Iterator[Path]:
  """A directory of its own for a run that was given none: `name` and the time, and a number where another run has that.

  It is taken away again where nothing was written into it.

  Raises:
    OSError: it cannot be made.
  """
  stem = f"{re.sub('[^A-Za-z0-9._=-]+', '-', name)[:150]}-{time.strftime('%Y%m%d-%H%M%S')}"
  there = folder.exists()
  for number in itertools.count(1):
    path = folder / (stem if number == 1 else f"{stem}-{number}")
    with suppress(FileExistsError):
      path.mkdir(parents=True)
      break
  try:
    yield path
  finally:
    with suppress(OSError):  # they are not empty
      path.rmdir()
      if not there:
        folder.rmdir()
