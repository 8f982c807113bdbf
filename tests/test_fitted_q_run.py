"""A run of deep-fitted-q on the nine moves of the plane, through the command line: train, go on, score, film, export."""

import shlex
from pathlib import Path

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics

pytestmark = pytest.mark.slow

SMALL = shlex.split("""
  --num-envs 2 --prefill-steps 100 --log-every 0.5 --eval-episodes 2 --replay.capacity 2000 --replay.batch-size 2
  --replay.batch-length 4 --schedule.ratio 2 --agent.world-model.encoder.units 8
  --agent.world-model.objectives.reconstruction.decoder.units 8 --agent.world-model.dynamics.units 8
  --agent.behavior.units 8 --agent.behavior.target-every 20 --sync --eval-every 0 --video-every 0
""")


def train(logdir: Path, env_steps: int) -> None:
  assert cli.main(["train", "deep-fitted-q", "--logdir", str(logdir), *SMALL, "--env-steps", str(env_steps)]) == 0


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  logdir = tmp_path_factory.mktemp("runs") / "fitted"
  train(logdir, 500)
  return logdir


def test_its_losses_are_logged(logdir: Path):
  rows = [row for row in read_metrics(logdir / "metrics.jsonl") if "train/loss/q" in row]
  assert rows and {"train/q/target", "train/loss/kl", "train/loss/reconstruction/image"} <= rows[-1].keys()


def test_it_goes_on_to_the_bit(logdir: Path, tmp_path: Path):
  train(tmp_path / "halves", 320)
  train(tmp_path / "halves", 500)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  assert set(whole["behavior"]) == {"q"}
  jax.tree.map(np.testing.assert_array_equal, whole, halves)


def test_it_is_scored_exported_and_filmed(logdir: Path, tmp_path: Path):
  film, policy = tmp_path / "dream.gif", tmp_path / "policy.bin"
  assert cli.main(["eval", str(logdir), "--episodes", "2"]) == 0
  assert cli.main(["video", str(logdir), "--out", str(film), "--horizon", "20"]) == 0
  assert len(imageio.imread(film, index=None)) >= 25
  assert cli.main(["export", str(logdir), "--out", str(policy), "--batch", "2", "--platforms", "cpu"]) == 0
  observation = {"image": np.random.default_rng(0).integers(0, 256, (2, 40, 40, 1), np.uint8)}
  action, _ = dreamerax.load_exported(policy)(observation)
  expected, _ = dreamerax.load_policy(logdir)(observation)
  np.testing.assert_array_equal(action, expected)
  assert action.shape == (2, 9) and (np.sum(action, -1) == 1).all()
