"""A run of local-lqr on the true state, through the command line: what it is refused for, and train, go on, score, export."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics

SMALL = shlex.split("""
  --num-envs 2 --workers.count 0 --prefill-steps 160 --log-every 0.5 --eval-episodes 2 --eval-every 0 --sync
  --replay.capacity 2000 --replay.batch-size 4
""")


@pytest.mark.parametrize(
  ("options", "why"),
  [
    ("--task dmc/point_mass_easy --observations position", "agent.behavior needs the observation 'goal/position'"),
    ("--task goal/point_mass --observations image", "'image' is an image: name the task's vectors"),
    ("--task e2c/planar_moves", "LocalLQR acts linearly, and actions are choices: choose a --task"),
    ("--replay.draw uniform", "draw='uniform' does not go with schedule=IterationsConfig"),
    (
      "--replay.batch-size 12",
      "batch-size=12 episodes do not come evenly from 8 environments: give --replay.batch-size 16",
    ),
    ("--schedule.updates 2", "in iterations of 1 updates, and the schedule has 2"),
    ("--resume keep", "a restart cuts short with --resume='keep'"),
  ],
)
def test_what_does_not_fit_is_refused_at_the_start(
  options: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  logdir = tmp_path / "run"
  assert cli.main(["train", "local-lqr", *shlex.split(options), "--logdir", str(logdir)]) == 2
  assert why in " ".join(capsys.readouterr().err.split())
  assert not logdir.exists()


def train(logdir: Path, env_steps: int, *options: str) -> int:
  return cli.main(["train", "local-lqr", "--logdir", str(logdir), *SMALL, "--env-steps", str(env_steps), *options])


@pytest.mark.slow
def test_episodes_of_another_length_end_the_run_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  assert train(tmp_path / "long", 2000, "--task", "e2c/cartpole") == 2
  assert "one of environment 0 goes on after 41: set --replay.batch-length" in capsys.readouterr().err
  assert train(tmp_path / "unequal", 2000, "--agent.behavior.inner.horizon", "39") == 2
  assert "horizon=39 is the steps of an episode, whose rows are one more" in capsys.readouterr().err


@pytest.mark.slow
def test_it_trains_goes_on_to_the_bit_is_scored_and_exported(tmp_path: Path):
  assert train(tmp_path / "whole", 1300) == train(tmp_path / "halves", 900) == train(tmp_path / "halves", 1300) == 0
  whole, halves = (api.load_agent(tmp_path / each)[1] for each in ("whole", "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  rows = read_metrics(tmp_path / "whole" / "metrics.jsonl")
  costs = [row["train/lqr/cost"] for row in rows if row.get("train/lqr/cost")]
  # Updates at 320, 480, ... steps, after the second to the eighth iteration of 4 episodes of 40 steps.
  assert rows[-1]["updates"] == 7 and costs[-1] < 0.9 * costs[0]
  assert cli.main(["eval", str(tmp_path / "whole"), "--episodes", "2"]) == 0
  policy = tmp_path / "policy.bin"
  assert cli.main(["export", str(tmp_path / "whole"), "--out", str(policy), "--batch", "3", "--platforms", "cpu"]) == 0
  rng = np.random.default_rng(0)
  observation = {name: rng.uniform(-1, 1, (3, 2)).astype(np.float32) for name in ("state", "goal/state")}
  action, _ = dreamerax.load_exported(policy)(observation)
  expected, _ = dreamerax.load_policy(tmp_path / "whole")(observation)
  np.testing.assert_allclose(action, expected, atol=1e-6)
  assert action.shape == (3, 2) and np.abs(action).max() <= 1
