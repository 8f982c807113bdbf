"""A run of guided-policy from pixels, through the command line: what it is refused for, and train, go on, score, export."""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics

TASK = shlex.split("""
  --task e2c/planar_opposite --action-repeat 1 --image-size 40 --conditions 2 --observations image true/state
  --agent.behavior.target state --agent.behavior.horizon 40 --replay.batch-length 41
""")
SMALL = shlex.split("""
  --agent.behavior.encoder.depths 4 4 --agent.behavior.units 16 --agent.behavior.updates 5 --schedule.updates 5
  --num-envs 2 --workers.count 0 --log-every 0.5 --eval-episodes 2 --eval-every 0 --sync
  --replay.capacity 2000 --replay.batch-size 4 --agent.behavior.optimizer.learning-rate 0.01
""")


@pytest.mark.parametrize(
  ("options", "why"),
  [
    ("--observations image velocity", "GuidedPolicySearch needs the true state, 'true/position' of it for the cost"),
    ("--conditions 0", "a teacher for each of a few first states, .* not 'true/condition': give --conditions 4"),
    ("--conditions 3", "conditions=3 do not come evenly from --num-envs=8 environments: give --num-envs 9"),
    ("--agent.behavior.updates 50", "in iterations of 50 updates, and the schedule has 100"),
  ],
)
def test_what_does_not_fit_is_refused_at_the_start(
  options: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  logdir = tmp_path / "run"
  assert cli.main(["train", "guided-policy", *shlex.split(options), "--logdir", str(logdir)]) == 2
  assert re.search(why, " ".join(capsys.readouterr().err.split()))
  assert not logdir.exists()


def train(logdir: Path, env_steps: int, *options: str) -> int:
  wanted = [*TASK, *SMALL, "--env-steps", str(env_steps), *options]
  return cli.main(["train", "guided-policy", "--logdir", str(logdir), *wanted])


@pytest.mark.slow
def test_it_trains_goes_on_to_the_bit_is_scored_and_exported(tmp_path: Path):
  assert train(tmp_path / "whole", 820) == train(tmp_path / "halves", 500) == train(tmp_path / "halves", 820) == 0
  whole, halves = (api.load_agent(tmp_path / each)[1] for each in ("whole", "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  rows = read_metrics(tmp_path / "halves" / "metrics.jsonl")
  costs = [row["train/guided/cost"] for row in rows if row.get("train/guided/cost")]
  # Updates at 320, 480, 640 and 800 steps, of episodes of 40 steps.
  assert rows[-1]["updates"] == 20 and costs[-1] < costs[0]
  assert cli.main(["eval", str(tmp_path / "whole"), "--episodes", "2"]) == 0
  policy = tmp_path / "policy.bin"
  assert cli.main(["export", str(tmp_path / "whole"), "--out", str(policy), "--batch", "3", "--platforms", "cpu"]) == 0
  observation = {"image": np.random.default_rng(0).integers(0, 256, (3, 40, 40, 1), np.uint8)}
  action, _ = dreamerax.load_exported(policy)(observation)
  expected, _ = dreamerax.load_policy(tmp_path / "whole")(observation)
  np.testing.assert_allclose(action, expected, atol=1e-6)
  assert action.shape == (3, 2) and np.abs(action).max() <= 1
