"""A sweep of runs that really train, on a local Ray, under kill -9 and SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from dreamerax.runtime.checkpoint.folder import find_steps
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.sweeps.manifest import Manifest
from tests.conftest import ROOT
from tests.test_training import TINY

TOTAL = 10_000
TRIALS = [f"dreamer-v3-dmc-cartpole_balance-seed{seed}" for seed in (0, 1)]


def options() -> dict[str, list[str]]:
  """TINY as a sweep has it; the task apart."""
  flags: dict[str, list[str]] = {}
  for word in TINY:
    if word.startswith("--"):
      flags[word[2:]] = values = []
    else:
      values.append(word)
  del flags["task"]
  return flags | {"env-steps": [str(TOTAL)], "checkpoint-minutes": ["0.03"], "eval-every": ["0"], "video-every": ["0"]}


@pytest.mark.slow
def test_trials_that_are_killed_and_stopped_reach_their_end(tmp_path: Path):
  grid = {"presets": ["dreamer-v3"], "tasks": ["dmc/cartpole_balance"], "seeds": [0, 1], "options": options()}
  spec, sweep = tmp_path / "spec.yaml", tmp_path / "sweep"
  spec.write_text(yaml.safe_dump({"grids": [grid], "retries": 1}))
  command = [sys.executable, "-m", "dreamerax", "sweep", str(spec), "--logdir", str(sweep), "--ray", "local"]

  def wait_for_checkpoints(after: int) -> None:
    while not all(max(find_steps(sweep / name / "checkpoints"), default=0) > after for name in TRIALS):
      assert running.poll() is None, "the sweep has ended too early"
      time.sleep(0.05)

  running = subprocess.Popen(command, cwd=ROOT)
  wait_for_checkpoints(0)
  for name in TRIALS:
    os.kill(json.loads((sweep / name / "lock").read_text())["pid"], signal.SIGKILL)
  killed_at = max(max(find_steps(sweep / name / "checkpoints")) for name in TRIALS)
  wait_for_checkpoints(killed_at)
  running.terminate()
  assert running.wait() == 1
  manifest = Manifest.load(sweep)
  for name in TRIALS:
    record = manifest[name]
    assert (record.state, record.attempts, record.reason) == ("waiting", 2, "saved and left before its end")
    assert killed_at < max(find_steps(sweep / name / "checkpoints")) < TOTAL
  assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
  manifest = Manifest.load(sweep)
  assert [(manifest[name].state, manifest[name].attempts) for name in TRIALS] == [("finished", 3)] * 2
  for name in TRIALS:
    rows = read_metrics(sweep / name / "metrics.jsonl")
    steps = [row["env_steps"] for row in rows]
    assert steps == sorted(steps) and steps[-1] >= TOTAL
    assert manifest[name].eval_return == [row["eval/return"] for row in rows if "eval/return" in row][-1]
