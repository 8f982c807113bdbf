"""Defines what a checkpoint holds besides arrays, and how it is saved and read."""

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dreamerax import __version__
from dreamerax.runtime.counters import Counters

SAVED = "saved.json"  # in a checkpoint
# Raised where this version would read wrong, or not at all, what an earlier one has saved, the names of arrays included.
FORMAT = 2
_UNNAMED = "0.1.0"  # the version of all that had the format 0
RESHARDS = "dealt"  # in the end of a log: how often replays were resharded; the name is that of files
STAMP: Mapping[str, Any] = {"format": FORMAT, "version": __version__}  # in saved.json


@contextmanager
def restoring() -> Iterator[None]:
  """A context for code that takes back the arrays that it has once given to a checkpoint.

  Raises:
    ValueError: they are not what it gave.
  """
  try:
    yield
  except (LookupError, TypeError, AttributeError, ValueError) as error:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    raise ValueError(
      f"the newest checkpoint does not hold the arrays that its parts have saved ({said}): restore it, or delete it to go on "
      "from the one before"
    ) from error


class ConfigFile(NamedTuple):
  """A run's config.json."""

  checksum: str = ""
  text: str = ""


class RunState(NamedTuple):
  """The part of a checkpoint that is no array. All of it is JSON: whole numbers of any
  size come back exactly."""

  counters: Counters
  seconds: float  # since the run began, over restarts
  calls: int  # of the exploring policy
  prefilled: int  # agent steps collected before the first update or to refill the replay; no update is owed for them
  schedule: Mapping[str, int]
  seed: int
  replay: Mapping[str, Any]  # end of the replay's log, of host 0's where there are several; {}: there is none
  metrics: int  # bytes of metrics.jsonl
  logged: Counters  # at the newest line of training metrics
  others: Sequence[Mapping[str, Any]] = ()  # ends of the logs of hosts 1, 2, ...
  config: str = ""  # checksum of config.json; "": of a version that had none

  @classmethod
  def nothing(cls, seed: int) -> "RunState":
    """Makes the state of a run that begins."""
    return cls(Counters(), 0.0, 0, 0, {}, seed, {}, 0, Counters())

  def to_json(self) -> dict[str, Any]:
    return {name: value._asdict() if isinstance(value, Counters) else value for name, value in self._asdict().items()}

  @classmethod
  def from_json(cls, row: Mapping[str, Any]) -> "RunState":
    """
    Raises:
      LookupError, TypeError: something is missing, or no number where one is due.
    """
    counters = {name: Counters(**row[name]) for name in ("counters", "logged")}
    saved = cls(**{**row, **counters, "others": tuple(row["others"])})
    whole = [*saved.counters, *saved.logged, saved.calls, saved.prefilled, saved.seed, saved.metrics]
    # A schedule that has not begun says so by -1.
    whole += [operator.index(number) + 1 for number in saved.schedule.values()]
    for end in saved.logs:
      whole += [*(end.get(name, 0) for name in ("segment", "offset", RESHARDS)), *end.get("written", ())]
      whole += [each[1] for each in end.get("files", ())]
    if any(operator.index(number) < 0 for number in whole) or not isinstance(saved.seconds, (int, float)):
      raise TypeError
    return saved

  @classmethod
  def read(cls, checkpoint: Path) -> "RunState":
    """Reads that of a checkpoint's directory.

    Raises:
      ValueError: it was saved by another version, or is damaged. OSError: it cannot be read.
    """
    try:
      data = json.loads((checkpoint / SAVED).read_text())
      return cls._decode(data, checkpoint)
    except (TypeError, LookupError, AttributeError, RecursionError, UnicodeError, json.JSONDecodeError) as error:
      raise ValueError(
        f"{checkpoint / SAVED} is not what dreamerax writes: restore it, or delete {checkpoint}"
      ) from error

  @classmethod
  def _decode(cls, data: Any, checkpoint: Path) -> "RunState":
    row = {"others": [], "config": "", **data["saved"]}  # absent until there were several hosts, and a checksum
    stored, version = data.get("format", 0), data.get("version", _UNNAMED)
    if stored not in range(FORMAT + 1) or set(row) != set(cls._fields):
      raise ValueError(
        f"{checkpoint} has format {stored} of dreamerax {version}, and this is "
        f"dreamerax {__version__}, which reads up to format {FORMAT}: continue with that version, or begin a run in another "
        "--logdir"
      )
    return cls.from_json(row)

  @property
  def logs(self) -> list[Mapping[str, Any]]:
    """Ends of the logs of all hosts."""
    return [self.replay, *self.others]
