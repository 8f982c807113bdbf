"""Defines a logger: a service or library of somebody else that a run's metrics go to, beside the run directory."""

import abc
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamerax import files

FOLDER = "loggers"  # in the run directory: what each logger has written down of itself


@dataclass(frozen=True)
class RunInfo:
  """The run that is logged."""

  run_dir: Path
  config: Mapping[str, Any]  # config.json
  id: str | None  # that this logger gave `remember` when the run began; None: it begins now

  @property
  def name(self) -> str:
    """The run's name, for people."""
    return self.run_dir.name

  def inside(self, name: str) -> Path:
    """A file or folder of the run directory.

    Raises:
      ValueError: it is a symbolic link, which may lead out of the run directory.
    """
    return _no_link(self.run_dir / name)


class Logger(abc.ABC):
  """One logger. It lives in a process of its own, so that it may wait, raise or crash.

  Whoever derives from it opens its run in `__init__(info)`, which `info.id` names where the run goes on, and raises whatever
  it likes where that fails.
  """

  @property
  @abc.abstractmethod
  def id(self) -> str:
    """The name by which a later process goes on with the same run."""

  @abc.abstractmethod
  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Finite numbers at `step` env steps. A run that went back to a checkpoint gives steps that were there before."""

  @abc.abstractmethod
  def video(self, step: int, name: str, gif: Path) -> None:
    """An animation. The file is gone afterwards."""

  @abc.abstractmethod
  def close(self) -> None:
    """Sends what is left, and ends the run there."""


def recall(run_dir: Path, name: str) -> str | None:
  """The id that `remember` has kept, where it did."""
  try:
    return json.loads(files.read_regular(_place(run_dir, name)))["id"]
  except (OSError, ValueError, LookupError, TypeError):
    return None


def remember(run_dir: Path, name: str, identity: str) -> None:
  """Keeps a logger's id in the run directory."""
  make_folder(run_dir)
  files.write_whole(_place(run_dir, name), json.dumps({"id": identity}) + "\n")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Nested settings by dotted names: {"env.task": "dmc/walker_walk"}."""
  found: dict[str, Any] = {}
  for name, value in config.items():
    if isinstance(value, Mapping):
      found |= flatten(value, f"{prefix}{name}.")
    else:
      found[prefix + name] = value
  return found


def make_folder(run_dir: Path) -> Path:
  """Makes the folder in which loggers keep what is theirs; ValueError if it is a
  symbolic link."""
  folder = _no_link(run_dir / FOLDER)
  folder.mkdir(exist_ok=True)
  return folder


def _place(run_dir: Path, name: str) -> Path:
  return run_dir / FOLDER / f"{name}.json"


def _no_link(path: Path) -> Path:
  if path.is_symlink():
    raise ValueError(f"{path} is a symbolic link: remove it")
  return path
