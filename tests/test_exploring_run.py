"""A run whose data one behaviour collects for another, through the command line: train, go on, score, export."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics

pytestmark = pytest.mark.slow

SMALL = shlex.split("""
  --task dmc/cartpole_balance --observations position velocity --action-repeat 50 --num-envs 2 --prefill-steps 20
  --log-every 0.5 --eval-episodes 2 --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4
  --schedule.ratio 2 --agent.world-model.encoder.units 8 --agent.world-model.dynamics.deter 16
  --agent.world-model.dynamics.hidden 8 --agent.world-model.reward.head.units 8 --agent.world-model.continues.units 8
  --agent.world-model.objectives.reconstruction.decoder.units 8 --agent.behavior.task.horizon 2
  --agent.behavior.explorer.inner.horizon 2 --agent.behavior.explorer.reward.members 3
  --agent.behavior.explorer.reward.units 8 --sync --eval-every 0 --video-every 0
""")


def train(logdir: Path, env_steps: int) -> None:
  options = ["--size", "tiny", "--logdir", str(logdir), *SMALL, "--env-steps", str(env_steps)]
  assert cli.main(["train", "plan2explore", *options]) == 0


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  logdir = tmp_path_factory.mktemp("runs") / "exploring"
  train(logdir, 2000)
  return logdir


def test_its_metrics_stand_under_both_names(logdir: Path):
  rows = [row for row in read_metrics(logdir / "metrics.jsonl") if "train/loss/task/actor" in row]
  assert rows and rows[-1]["train/loss/explorer/disagreement"] > 0
  assert {"train/task/imagined/reward", "train/explorer/imagined/reward"} <= rows[-1].keys()


def test_it_goes_on_to_the_bit(logdir: Path, tmp_path: Path):
  train(tmp_path / "halves", 1400)
  train(tmp_path / "halves", 2000)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  assert set(whole["behavior"]) == {"task", "explorer"}
  jax.tree.map(np.testing.assert_array_equal, whole, halves)


@pytest.mark.parametrize("explore", [False, True])
def test_its_policy_is_scored_and_exported(logdir: Path, tmp_path: Path, explore: bool):
  policy, words = tmp_path / "policy.bin", ["--explore"] if explore else []
  assert cli.main(["eval", str(logdir), "--episodes", "2"]) == 0
  assert cli.main(["export", str(logdir), "--out", str(policy), "--batch", "2", "--platforms", "cpu", *words]) == 0
  rng = np.random.default_rng(0)
  observation = {"position": rng.normal(size=(2, 3)), "velocity": rng.normal(size=(2, 2))}
  observation = {name: array.astype(np.float32) for name, array in observation.items()}
  expected = dreamerax.load_policy(logdir, explore=explore)(observation)[0]
  np.testing.assert_allclose(dreamerax.load_exported(policy)(observation)[0], expected, atol=1e-5)
