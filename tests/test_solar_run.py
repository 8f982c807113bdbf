"""A run of solar from images, through the command line: what it is refused for, and train, go on, score, export."""

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
  --replay.capacity 2000 --replay.batch-size 6 --schedule.warmup 3 --agent.behavior.inner.warmup 3
  --agent.world-model.encoder.units 8 --agent.world-model.objectives.reconstruction.decoder.units 8
""")


@pytest.mark.parametrize(
  ("options", "why"),
  [
    ("--task e2c/planar_moves", "LocalLQR acts linearly, and actions are choices: choose a --task"),
    (
      "--schedule.warmup 5",
      "expects 1400 updates before its first iteration and 2 older episodes behind each new one, and --schedule.warmup=5",
    ),
    ("--replay.older 0", "and --schedule.warmup=1400 and --replay.older=0: set both"),
    ("--replay.batch-size 20", "batch-size=20 is not a multiple of 3, one of the newest episodes and --replay.older=2"),
    (
      "--replay.batch-size 12",
      "1 in 3 of them new, do not come evenly from 8 environments: give --replay.batch-size 24",
    ),
    ("--schedule.updates 2", "in iterations of 1 updates, and the schedule has 2"),
    ("--resume keep", "a restart cuts short with --resume='keep'"),
  ],
)
def test_what_does_not_fit_is_refused_at_the_start(
  options: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  logdir = tmp_path / "run"
  assert cli.main(["train", "solar", *shlex.split(options), "--logdir", str(logdir)]) == 2
  assert why in " ".join(capsys.readouterr().err.split())
  assert not logdir.exists()


def train(logdir: Path, env_steps: int, *options: str) -> int:
  return cli.main(["train", "solar", "--logdir", str(logdir), *SMALL, "--env-steps", str(env_steps), *options])


@pytest.mark.slow
def test_episodes_of_another_length_end_the_run_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  assert train(tmp_path / "long", 2000, "--task", "e2c/cartpole") == 2
  assert "one of environment 0 goes on after 41: set --replay.batch-length" in capsys.readouterr().err


@pytest.mark.slow
def test_it_trains_goes_on_to_the_bit_is_scored_and_exported(tmp_path: Path):
  assert train(tmp_path / "whole", 500) == train(tmp_path / "halves", 340) == train(tmp_path / "halves", 500) == 0
  whole, halves = (api.load_agent(tmp_path / each)[1] for each in ("whole", "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  rows = read_metrics(tmp_path / "whole" / "metrics.jsonl")
  # Three of the warm-up, and one at 160, 240, ... 480 steps; rows of resets count towards the prefill.
  assert rows[-1]["updates"] == 3 + 5 and rows[-1]["train/lqr/kl"] > 0
  assert cli.main(["eval", str(tmp_path / "whole"), "--episodes", "2"]) == 0
  policy = tmp_path / "policy.bin"
  assert cli.main(["export", str(tmp_path / "whole"), "--out", str(policy), "--batch", "3", "--platforms", "cpu"]) == 0
  rng = np.random.default_rng(0)
  observation = {name: rng.integers(0, 256, (3, 40, 40, 1), np.uint8) for name in ("image", "goal/image")}
  action, _ = dreamerax.load_exported(policy)(observation)
  expected, _ = dreamerax.load_policy(tmp_path / "whole")(observation)
  np.testing.assert_allclose(action, expected, atol=1e-5)
  assert action.shape == (3, 2) and np.abs(action).max() <= 1
