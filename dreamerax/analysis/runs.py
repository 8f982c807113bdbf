"""Run directories, and which of them are seeds of one setting."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamerax import files
from dreamerax.analysis.curves import is_number
from dreamerax.config import to_dict
from dreamerax.config_file import CONFIG
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.telemetry.metrics import METRICS, read_metrics

# What may differ between runs of one setting: where and how long they ran, and how they were watched.
_FREE = ("seed", "env_steps", "loop.eval", "loop.video", "loop.log", "loop.checkpoint", "loop.resume", "workers")
_FREE += ("env.task", "loop.profile", "loop.sync", "replay.max_disk_bytes")


class RunRecord(NamedTuple):
  """A run as far as it has come."""

  path: Path
  preset: str | None
  config: RunConfig  # of which `agent` is what is stored, so that nothing of it has to be imported
  rows: list[dict]  # of metrics.jsonl

  @property
  def task(self) -> str:
    return self.config.env.task

  @property
  def env_steps(self) -> int:
    """The env steps of its last line."""
    return self.rows[-1]["env_steps"] if self.rows else 0


class Setting(NamedTuple):
  """Runs that differ in task and seed only."""

  label: str
  runs: Mapping[str, Sequence[RunRecord]]  # by task


class Found(NamedTuple):
  """The runs in some directories, and what could not be read."""

  runs: Sequence[RunRecord]  # at least one
  left_out: Mapping[Path, str]  # runs and folders that cannot be read, and why

  def told(self) -> list[str]:
    """A line for each run that is left out."""
    return [f"{path} is left out: {why}" for path, why in self.left_out.items()]


def find_runs(paths: Iterable[Path]) -> Found:
  """The runs in these directories, at any depth. What cannot be read, a run or a folder, is left out.

  Raises:
    FileNotFoundError: a directory holds none. PermissionError: this user may not read a directory.
    ValueError: none of the runs can be read; says why the first cannot.
  """
  found: dict[Path, RunRecord] = {}
  left_out: dict[Path, str] = {}
  for path in paths:
    files.check_permitted(path)
    configs, closed = _configs(path)
    left_out.update(closed)
    if not configs and not closed:
      raise FileNotFoundError(f"{path} holds no run: no {CONFIG} is in it or below it")
    for config in configs:
      try:
        found.setdefault(config.parent.resolve(), _read(config.parent))
      except (ValueError, OSError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        left_out[config.parent] = _why(error)
  if not found:
    raise ValueError(f"none of these runs can be read; {next(iter(left_out))}: {next(iter(left_out.values()))}")
  return Found(list(found.values()), left_out)


def _configs(path: Path) -> tuple[list[Path], dict[Path, str]]:
  """Finds the config.json of all runs in a directory; and the folders in it that this
  user may not look into, and why."""
  closed: dict[Path, str] = {}

  def note(error: OSError) -> None:
    closed[Path(error.filename)] = error.strerror or str(error)

  walked = os.walk(path, onerror=note) if path.is_dir() else ()
  return sorted(Path(folder, CONFIG) for folder, _, names in walked if CONFIG in names), closed


def _why(error: Exception) -> str:
  if isinstance(error, OSError) and error.strerror:
    return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
  return str(error)


def by_seed(runs: Iterable[RunRecord]) -> dict[int, list[RunRecord]]:
  """The runs of each seed: a seed counts once, however often it was run."""
  found: dict[int, list[RunRecord]] = {}
  for run in runs:
    found.setdefault(run.config.seed, []).append(run)
  return found


def group(runs: Sequence[RunRecord]) -> list[Setting]:
  """Settings in the order of their first runs, named by preset, size and where they differ from each other."""
  flat = [_flatten(to_dict(run.config)) for run in runs]
  flat = [{name: value for name, value in each.items() if not name.startswith(_FREE)} for each in flat]
  heads = [f"{run.preset or 'run'} {run.config.size}" for run in runs]
  groups: dict[str, dict[str, list[RunRecord]]] = {}
  for run, head, fields in zip(runs, heads, flat, strict=True):
    alike = [other for other, name in zip(flat, heads, strict=True) if name == head]
    differing = [name for name in fields if any(other.get(name) != fields[name] for other in alike)]
    label = ", ".join([head, *(f"{name}={fields[name]}" for name in differing)])
    groups.setdefault(label, {}).setdefault(run.task, []).append(run)
  return [Setting(label, tasks) for label, tasks in groups.items()]


def _read(path: Path) -> RunRecord:
  directory = RunDirectory.open(path)
  config = directory.outline
  metrics = path / METRICS
  rows = read_metrics(metrics) if metrics.exists() else []
  if not all(isinstance(row, dict) for row in rows):
    raise ValueError(f"{metrics} has a line that is no JSON object; delete it")
  rows = [row for row in rows if is_number(row.get("env_steps"))]
  return RunRecord(path, directory.preset, config, rows)


def _flatten(data: Any, path: str = "") -> dict[str, Any]:
  if not isinstance(data, dict):
    return {path: data}
  parts = (_flatten(value, f"{path}.{name}" if path else name) for name, value in data.items())
  return {name: value for part in parts for name, value in part.items()}
