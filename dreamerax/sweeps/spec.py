"""Describes a sweep: grids of presets, tasks, seeds and options, as YAML or as Python."""

import math
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dreamerax import checks
from dreamerax.config import from_dict, shown
from dreamerax.own_code import EVERYTHING, account

_SET_ELSEWHERE = {
  "task": "tasks",
  "seed": "seeds",
  "seeds": "the grid's own seeds",
  "logdir": "the sweep's own --logdir",
}
_MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Resources:
  """Resources that Ray reserves for one trial; without Ray nothing is reserved."""

  cpus: float = 1.0
  gpus: float = 0.0
  """A share of one GPU, such as 0.25, lets trials share it."""
  memory: int = 0
  """Bytes of host memory; 0 asks for none in particular."""
  custom: Mapping = field(default_factory=dict)
  """Amounts of resources that the cluster's nodes were started with, by name."""
  hosts: int = 1
  """Over how many of Ray's nodes' shares one trial is spread; cpus, gpus, memory and custom are of each."""

  def __post_init__(self):
    for name, amount in (*vars(self).items(), *self.custom.items()):
      if name != "custom" and not (_is_number(amount) and amount >= 0):
        raise ValueError(f"resources.{name}={shown(amount)}: must be a number of at least 0")
    if self.gpus > 1 and self.gpus != int(self.gpus):
      raise ValueError(f"resources.gpus={self.gpus}: a share must be of one GPU; more than one are a whole number")
    if self.hosts != int(self.hosts) or self.hosts < 1:
      raise ValueError(f"resources.hosts={self.hosts}: must be a whole number of at least 1")
    if self.hosts > 1 and not self.amounts():
      raise ValueError(f"resources.hosts={self.hosts}: each reserves nothing; give resources.cpus of each")

  def amounts(self) -> dict[str, float]:
    """The resources that each host asks for, by Ray's names; what it asks none of is
    left out."""
    asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory, **self.custom}
    return {name: amount for name, amount in asked.items() if amount}


@dataclass(frozen=True)
class Grid:
  """Every preset on every task, with every seed and every combination of what varies. One of each is a single run.

  Options are those of `dreamerax train`, without their dashes: {"agent.optimizer.learning-rate": 1e-4, "sync": True,
  "observations": ["image", "position"]}.
  """

  presets: tuple[str, ...]
  tasks: tuple[str, ...] = ()
  """None: each preset's own."""
  seeds: tuple[int, ...] = (0,)
  options: Mapping = field(default_factory=dict)
  """Name -> value, for every trial of the grid; they count more than the sweep's."""
  vary: Mapping = field(default_factory=dict)
  """Name -> list of values; they count most."""
  name: str = ""
  """Stands in the names of the grid's trials; tells grids apart that differ by their options."""
  resources: Resources | None = None
  """None: the sweep's."""

  def __post_init__(self):
    for name in ("presets", "tasks", "seeds"):
      _check_list(name, getattr(self, name), empty=name == "tasks")
    for name, values in self.vary.items():
      _check_option(name)
      _check_list(f"vary.{name}", values, empty=False)
      for value in values:
        _check_value(f"vary.{name}", value)
    _check_options(self.options)

  def count(self) -> int:
    """The number of its trials."""
    lists = (self.presets, self.tasks or (None,), self.seeds, *self.vary.values())
    return math.prod(len(values) for values in lists)


@dataclass(frozen=True)
class Sweep:
  """A number of grids, and what holds for all of them."""

  grids: tuple[Grid, ...]
  options: Mapping = field(default_factory=dict)
  """Name -> value, for every trial."""
  resources: Resources = field(default_factory=Resources)
  """For every trial."""
  retries: int = 3
  """How often a trial that has crashed goes on from its checkpoint, each time that the sweep is started."""

  def __post_init__(self):
    _check_list("grids", self.grids, empty=False)
    _check_options(self.options)
    count = sum(grid.count() for grid in self.grids)
    if count > _MOST_TRIALS:
      raise ValueError(f"grids have {count:,} trials, and a sweep has {_MOST_TRIALS:,} at most: vary less")
    checks.at_least(0, self, "retries")


def read(path: Path) -> Sweep:
  """The sweep that a file describes.

  Args:
    path: SPEC.yaml, which is data alone, or SPEC.py, which is executed and leaves a `Sweep` called `sweep`.

  Raises:
    FileNotFoundError: there is no such file. ValueError: names what is wrong in it.
  """
  if not path.is_file():
    kind = "is no regular file" if path.exists() else "there is no such file"
    raise FileNotFoundError(f"{path}: {kind}")
  if path.suffix == ".py":
    return _run(path)
  if path.suffix not in (".yaml", ".yml"):
    raise ValueError(f"{path}: the name must end in .yaml or .py")
  return from_dict(Sweep, _parse(path), path.name, complete=False, trust=EVERYTHING)  # the person has named the file


def _run(path: Path) -> Sweep:
  """Returns what SPEC.py calls `sweep`."""
  path.read_bytes()  # an OSError of its own is no error in it
  try:
    sweep = runpy.run_path(str(path)).get("sweep")
  except (Exception, SystemExit) as error:
    raise ValueError(f"{path} raised {account(error)}") from error
  if not isinstance(sweep, Sweep):
    raise ValueError(f"{path}: must set `sweep` to a dreamerax.sweeps.spec.Sweep, and it is {shown(sweep)}")
  return sweep


def _parse(path: Path) -> Any:
  """Returns what SPEC.yaml holds."""
  content = path.read_bytes()
  try:
    return yaml.safe_load(content.decode())
  except RecursionError as error:
    raise ValueError(f"{path} is nested too deeply to be read") from error
  except (
    Exception
  ) as error:  # values that a tag does not fit: KeyError for `!!bool maybe`, AttributeError for `!!timestamp x`
    raise ValueError(f"{path} is not YAML: {' '.join(str(error).split()) or type(error).__name__}") from error


def to_flags(options: Mapping[str, Any]) -> list[str]:
  """Options as the command line has them: {"sync": True, "a.b": [1, 2]} -> ["--sync", "--a.b", "1", "2"]."""
  flags: list[str] = []
  for name, value in options.items():
    if isinstance(value, bool):
      group, dot, last = name.rpartition(".")
      flags.append(f"--{group}{dot}{last if value else 'no-' + last}")
    elif isinstance(value, str) or not isinstance(value, Sequence):
      flags += [f"--{name}", str(value)]
    else:
      flags += [f"--{name}", *map(str, value)]
  return flags


def hyphenated(options: Mapping[str, Any]) -> dict[str, Any]:
  """batch_size and batch-size are one option."""
  return {name.replace("_", "-"): value for name, value in options.items()}


def _check_list(name: str, values: Any, *, empty: bool) -> None:
  if isinstance(values, str) or not isinstance(values, Sequence):
    raise ValueError(f"{name}={shown(values)}: must be a list")
  if not values and not empty:
    raise ValueError(f"{name} is empty: give at least one")


def _check_option(name: Any) -> None:
  if name in _SET_ELSEWHERE:
    raise ValueError(f"{name} is no option of a trial: it is set by {_SET_ELSEWHERE[name]}")
  if not isinstance(name, str) or name.startswith("-"):
    raise ValueError(
      f"option {shown(name)}: must be the name of an option of dreamerax train, without dashes before it"
    )


def _check_options(options: Mapping) -> None:
  for name, value in options.items():
    _check_option(name)
    _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
  values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
  if not all(isinstance(each, str | bool) or each is None or _is_number(each) for each in values):
    raise ValueError(f"{name}={shown(value)}: must be a finite number, a word, true or false, or a list of such")


def _is_number(value: Any) -> bool:
  """Whether it is finite, and one that Python writes in full."""
  return math.isfinite(value) if isinstance(value, float) else isinstance(value, int) and abs(value) < 2**64
