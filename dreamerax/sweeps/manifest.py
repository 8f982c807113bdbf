"""Keeps what became of each trial in one JSON file, which is whole at any moment."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from dreamerax import files
from dreamerax.config import from_dict

FILE = "manifest.json"
TrialState = Literal["waiting", "running", "finished", "failed"]


@dataclass(frozen=True)
class Record:
  """One trial, over all starts of the sweep."""

  arguments: tuple[str, ...]
  """Of dreamerax train."""
  total: int
  """Env steps of the whole run."""
  state: TrialState = "waiting"
  reason: str = ""
  """Why the last attempt ended, unless the trial has finished."""
  attempts: int = 0
  began: str | None = None
  """Time of the first attempt's start."""
  ended: str | None = None
  """Time of the last attempt's end."""
  seconds: float = 0.0
  """All attempts together."""
  env_steps: int = 0
  eval_return: float | None = None
  """Mean return of the last evaluation."""


class Manifest:
  """Records by trial name, in the order of the sweep."""

  def __init__(self, path: Path, records: Mapping[str, Record]):
    self._path = path
    self._records = dict(records)

  @classmethod
  def load(cls, folder: Path) -> "Manifest":
    """The manifest in `folder`, empty where there is none.

    Raises:
      ValueError: the file is not a manifest.
    """
    path = folder / FILE
    if not path.exists():
      return cls(path, {})
    try:
      data = json.loads(files.read_regular(path))["trials"]
      return cls(path, {name: from_dict(Record, record, name) for name, record in data.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
      raise ValueError(
        f"{path} is not the manifest of a sweep ({error}): restore it, or choose another --logdir"
      ) from None

  def plan(self, asked: Mapping[str, Record]) -> list[str]:
    """Takes over the sweep as it is asked for now: finished trials stay so unless their arguments have changed, all others
    wait. Returns the names of trials that are no longer asked for, and are left out."""
    gone = [name for name in self._records if name not in asked]
    self._records = {name: _take_over(self._records.get(name), record) for name, record in asked.items()}
    self.save()
    return gone

  def __getitem__(self, name: str) -> Record:
    return self._records[name]

  def items(self) -> Iterator[tuple[str, Record]]:
    """Names and records."""
    yield from self._records.items()

  def count(self, state: TrialState) -> int:
    """Counts the trials in a state."""
    return sum(record.state == state for record in self._records.values())

  def change(self, name: str, **fields: Any) -> None:
    """Changes fields of a record in memory."""
    self._records[name] = replace(self._records[name], **fields)

  def save(self) -> None:
    """Writes the file, so that a crash leaves either the old one or the new one."""
    text = json.dumps({"trials": {name: dataclasses.asdict(r) for name, r in self._records.items()}}, indent=2)
    files.write_whole(self._path, text + "\n")


def now() -> str:
  """The time as records have it."""
  return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _take_over(old: Record | None, asked: Record) -> Record:
  if old is None:
    return asked
  if old.state == "finished" and old.arguments == asked.arguments:
    return old
  return replace(old, arguments=asked.arguments, total=asked.total, state="waiting")
