"""How far a run is, while its metrics are appended to, torn and cut."""

import json
from pathlib import Path

from dreamerax.sweeps.follow import Follower


def line(env_steps: int, **values: float) -> str:
  return json.dumps({"env_steps": env_steps, **values}) + "\n"


def test_lines_are_read_once_they_are_whole(tmp_path: Path):
  follower, path = Follower(tmp_path), tmp_path / "metrics.jsonl"
  follower.read()
  assert (follower.env_steps, follower.score) == (0, None)
  whole = line(10, **{"eval/return": 3.5}) + line(20)
  path.write_text(whole + line(30)[:8])
  follower.read()
  assert (follower.env_steps, follower.score) == (20, 3.5)
  path.write_text(whole + line(30, **{"eval/return": 4.5}))
  follower.read()
  assert (follower.env_steps, follower.score) == (30, 4.5)


def test_a_restarted_run_is_read_anew(tmp_path: Path):
  follower, path = Follower(tmp_path), tmp_path / "metrics.jsonl"
  path.write_text("".join(line(step, **{"eval/return": float(step)}) for step in range(1, 50)))
  follower.read()
  path.write_text(line(1))
  follower.read()
  assert (follower.env_steps, follower.score) == (1, None)
  path.write_text(line(1, other=1.23456) + line(2) + line(3))  # cut and grown between two looks: not at a line's start
  follower.read()
  follower.read()
  assert follower.env_steps == 3
