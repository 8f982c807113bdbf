"""A run that is killed and started again is, to the bit, the run that never was."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.checkpoint import FOLDER, load_state
from dreamerax.runtime.loop import TrainResult
from dreamerax.runtime.metrics import read_metrics
from tests.runtime.toys import Follow, Regression, run

STEPS = 8000
KILLS = 4


class Halves(SerialEnvs):
  """Two of them are acted in while the step of the other two is in flight, as with worker processes."""

  def split(self) -> list[SerialEnvs]:
    middle = self.num_envs // 2
    return [SerialEnvs(self._envs[:middle], self.seeds[:middle]), SerialEnvs(self._envs[middle:], self.seeds[middle:])]


def make_halves(num_envs: int, seed: int) -> SerialEnvs:
  seeds = derive_seeds(seed, num_envs)
  envs = Halves([Follow(one, length=7 + i) for i, one in enumerate(seeds)], seeds)
  envs.seeds = seeds
  return envs


def train(logdir: Path, **options: Any) -> TrainResult:
  defaults = {"env_steps": STEPS, "sync": True, "checkpoint_minutes": 0.002, "make_envs": make_halves}
  return run(logdir, **{**defaults, **options})


def what_is_left(logdir: Path) -> tuple[list[np.ndarray], list[dict]]:
  """The state of the last checkpoint, and all lines of metrics but what the clock says."""
  state, _ = load_state(logdir, Regression())
  rows = read_metrics(logdir / "metrics.jsonl")
  lines = [{k: v for k, v in row.items() if k != "seconds" and not k.startswith("time/")} for row in rows]
  return jax.tree.leaves(jax.device_get(state)), lines


def newest(logdir: Path) -> int:
  folder = logdir / FOLDER
  return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0) if folder.exists() else 0


def kill_at_random(logdir: Path, rng: random.Random) -> bool:
  """Lets another process go on with the run, and kills it some time after its next checkpoint; False if that was too late."""
  program = f"from pathlib import Path; from tests.runtime import test_resume as t; t.train(Path({str(logdir)!r}))"
  before = newest(logdir)
  child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
  while newest(logdir) == before and child.poll() is None:
    time.sleep(0.005)
  time.sleep(rng.uniform(0, 0.3))
  child.kill()
  return child.wait() != 0


def test_kill_9_at_random_moments_changes_nothing(tmp_path: Path):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  train(whole)
  rng = random.Random(time.time_ns())
  kills = sum(kill_at_random(killed, rng) for _ in range(KILLS))
  assert kills > KILLS / 2  # or the run was too short to be killed
  train(killed)
  (state, lines), (state_whole, lines_whole) = what_is_left(killed), what_is_left(whole)
  assert len(state) > 3 and len(lines) > STEPS / 1000 and any("eval/return" in line for line in lines)
  for array, expected in zip(state, state_whole, strict=True):
    np.testing.assert_array_equal(array, expected)
  assert lines == lines_whole


