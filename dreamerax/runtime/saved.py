"""What a checkpoint holds besides arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dreamerax.runtime.counters import Counters


class Saved(NamedTuple):
  """All of it is JSON: whole numbers of any size come back exactly."""

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

  @classmethod
  def nothing(cls, seed: int) -> "Saved":
    """Of a run that begins."""
    return cls(Counters(), 0.0, 0, 0, {}, seed, {}, 0, Counters())

  def to_json(self) -> dict[str, Any]:
    return {name: value._asdict() if isinstance(value, Counters) else value for name, value in self._asdict().items()}

  @classmethod
  def from_json(cls, row: Mapping[str, Any]) -> "Saved":
    counters = {name: Counters(**row[name]) for name in ("counters", "logged")}
    return cls(**{**row, **counters, "others": tuple(row["others"])})

  @property
  def logs(self) -> list[Mapping[str, Any]]:
    """Ends of the logs of all hosts."""
    return [self.replay, *self.others]
