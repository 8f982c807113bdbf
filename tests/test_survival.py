"""The whole program under kill -9: real environments in worker processes, through the command line."""

import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax import api
from dreamerax.agent import Agent
from dreamerax.run_directory import env_spec
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, load_state
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.test_training import TINY

KILLS = 10
SETTINGS = shlex.split("""
  --sync --env-steps 60000 --num-envs 4 --workers.count 2 --rendering fast --prefill-policy random --checkpoint-minutes 0.03
  --eval-every 20000 --eval-episodes 2 --video-every 0 --replay.context 1
""")


def command(logdir: Path) -> list[str]:
  return [sys.executable, "-m", "dreamerax", "train", "dreamer-v3", *TINY, *SETTINGS, "--logdir", str(logdir)]


def newest(logdir: Path) -> int:
  folder = logdir / FOLDER
  return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0) if folder.exists() else 0


def what_is_left(logdir: Path) -> tuple[list[np.ndarray], list[dict]]:
  """The state of the last checkpoint, and all lines of metrics but what the clock says."""
  config = api.load_config(logdir)
  state, _ = load_state(logdir, Agent(config.agent, env_spec(config)))
  rows = read_metrics(logdir / "metrics.jsonl")
  lines = [{k: v for k, v in row.items() if k != "seconds" and not k.startswith("time/")} for row in rows]
  return jax.tree.leaves(jax.device_get(state)), lines


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_is_the_run_that_never_was(tmp_path: Path):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  subprocess.run(command(whole), check=True, stdout=subprocess.DEVNULL)
  seed = random.randrange(2**32)
  print(f"random moments of seed {seed}")
  rng = random.Random(seed)
  for _ in range(KILLS):
    before, child = newest(killed), subprocess.Popen(command(killed), stdout=subprocess.DEVNULL)
    while newest(killed) == before and child.poll() is None:
      time.sleep(0.01)
    time.sleep(rng.uniform(0, 3))
    child.kill()
    if not child.wait():  # it had come to its end before
      break
  assert newest(killed) > 0
  subprocess.run(command(killed), check=True, stdout=subprocess.DEVNULL)
  (state, lines), (state_whole, lines_whole) = what_is_left(killed), what_is_left(whole)
  assert len(state) > 50 and len(lines) > 60 and any("train/loss/total" in line for line in lines)
  for array, expected in zip(state, state_whole, strict=True):
    np.testing.assert_array_equal(array, expected)
  assert lines == lines_whole
