"""A whole run on a task of dm_control as an array program, through the command line. Needs the extra `batched`."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics

pytestmark = pytest.mark.slow

SMALL = shlex.split("""
  --task mjx/walker_walk --num-envs 2 --observations image image/back height --action-repeat 20 --prefill-steps 20
  --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4 --schedule.ratio 0.1
  --sync --eval-every 0 --video-every 0 --agent.behavior.horizon 3
""")


def train(logdir: Path, env_steps: int) -> None:
  assert cli.main(["train", "quick", *SMALL, "--logdir", str(logdir), "--env-steps", str(env_steps)]) == 0


def test_runs_with_sync_are_equal_to_the_bit_whether_they_were_interrupted_or_not(tmp_path: Path):
  pytest.importorskip("mujoco_warp", reason="needs mujoco-warp: make setup EXTRAS=dev,batched")
  train(tmp_path / "whole", 2400)
  train(tmp_path / "again", 2400)
  train(tmp_path / "halves", 1600)
  train(tmp_path / "halves", 2400)
  whole, *others = (api.load_agent(tmp_path / name)[1] for name in ("whole", "again", "halves"))
  rows = [list(read_metrics(tmp_path / name / "metrics.jsonl")) for name in ("whole", "again", "halves")]
  returns = [[row["episode/return"] for row in each if "episode/return" in row] for each in rows]
  assert len(set(returns[0])) > 1 and returns[0] == returns[1] == returns[2]
  assert any("train/kl" in row for row in rows[0])
  for other in others:
    jax.tree.map(np.testing.assert_array_equal, whole, other)
