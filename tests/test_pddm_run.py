"""Runs of pddm through the command line: train, go on, score, export."""

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
  --size small --task dmc/cheetah_run --observations position velocity --action-repeat 50 --prefill-steps 20 --log-every 0.5
  --eval-episodes 2 --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4 --schedule.updates 2
  --schedule.every 300 --schedule.first 2 --agent.world-model.encoder.units 8 --agent.world-model.reward.units 8
  --agent.world-model.dynamics.inner.deter 8 --agent.world-model.dynamics.inner.hidden 8
  --agent.world-model.objectives.reconstruction.decoder.units 8 --agent.behavior.planner.horizon 3
  --agent.behavior.planner.candidates 8 --agent.behavior.planner.elites 8 --sync --eval-every 0 --video-every 0
""")


def train(logdir: Path, env_steps: int) -> None:
  assert cli.main(["train", "pddm", *SMALL, "--logdir", str(logdir), "--env-steps", str(env_steps)]) == 0


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  logdir = tmp_path_factory.mktemp("runs") / "pddm"
  train(logdir, 3000)
  return logdir


def test_every_member_learns_and_it_goes_on_to_the_bit(logdir: Path, tmp_path: Path):
  rows = [row for row in read_metrics(logdir / "metrics.jsonl") if row.get("train/loss/kl") is not None]
  assert rows
  train(tmp_path / "halves", 2000)
  train(tmp_path / "halves", 3000)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  bias = np.asarray(whole["world_model"]["dynamics"]["inner"]["prior_out"]["bias"])  # zeros at first
  assert bias.shape == (3, 60) and (np.abs(bias).max(-1) > 0).all() and np.ptp(bias, 0).max() > 0


def test_its_policy_is_scored_and_exported(logdir: Path, tmp_path: Path):
  policy = tmp_path / "policy.bin"
  assert cli.main(["eval", str(logdir), "--episodes", "2"]) == 0
  assert cli.main(["export", str(logdir), "--out", str(policy), "--batch", "2", "--platforms", "cpu"]) == 0
  rng = np.random.default_rng(0)
  observation = {"position": rng.normal(size=(2, 8)), "velocity": rng.normal(size=(2, 9))}
  observation = {name: array.astype(np.float32) for name, array in observation.items()}
  expected = dreamerax.load_policy(logdir)(observation)[0]
  np.testing.assert_allclose(dreamerax.load_exported(policy)(observation)[0], expected, atol=1e-4)


def test_a_dynamics_without_a_prior_of_its_own_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  """Before anything is compiled, by name."""
  preset = tmp_path / "parts.py"
  preset.write_text(
    "from dataclasses import replace\n"
    "from dreamerax import presets\n"
    "from dreamerax.dynamics.embedding import Embedded\n"
    "from dreamerax.dynamics.ensemble import PriorEnsemble\n"
    "run = presets.build('pddm', 'small')\n"
    "agent = run.agent\n"
    "world_model = replace(agent.world_model, dynamics=PriorEnsemble(Embedded()))\n"
    "embedded = replace(run, agent=replace(agent, world_model=world_model))\n"
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(tmp_path)
    patch.syspath_prepend(str(tmp_path))
    assert cli.main(["train", "parts:embedded", "--logdir", str(tmp_path / "run")]) == 2
  assert "dynamics.inner=Embedded has no prior that stands apart" in capsys.readouterr().err
