"""Reads how far a run is from its metrics while they grow."""

import json
from pathlib import Path


class Follower:
  """Reads what was appended to metrics.jsonl since it last looked; begins anew where a restarted run has cut it."""

  def __init__(self, run_dir: Path):
    """run_dir: need not exist yet."""
    self._path = run_dir / "metrics.jsonl"
    self._begin()

  def _begin(self) -> None:
    self.env_steps = 0  # at the last line
    self.score: float | None = None  # mean return of the last evaluation
    self._offset = 0

  def read(self) -> None:
    """Brings `env_steps` and `score` up to date."""
    try:
      with self._path.open("rb") as file:
        if file.seek(0, 2) < self._offset:
          self._begin()
        file.seek(self._offset)
        self._take(file.read())
    except FileNotFoundError:
      self._begin()
    except ValueError:  # cut, and grown beyond where it was: this was the middle of a line
      self._begin()

  def _take(self, appended: bytes) -> None:
    whole = appended[: appended.rfind(b"\n") + 1]
    for line in whole.splitlines():
      row = json.loads(line)
      self.env_steps = row.get("env_steps", self.env_steps)
      self.score = row.get("eval/return", self.score)
    self._offset += len(whole)
