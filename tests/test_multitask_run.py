"""Runs of multitask through the command line: train on one task, go on, score on another."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax import api, cli
from dreamerax.agent import Agent
from dreamerax.presets import build
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.test_presets import WALKER

SMALL = shlex.split("""
  --task tasks/walker_walk --observations orientations height velocity --action-repeat 50 --num-envs 2 --prefill-steps 20
  --log-every 0.5 --eval-episodes 2 --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4
  --schedule.every 300 --schedule.first 2 --schedule.updates 3 --agent.world-model.encoder.units 8
  --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8 --agent.world-model.reward.head.units 8
  --agent.world-model.continues.units 8 --agent.world-model.objectives.reconstruction.decoder.units 8
  --agent.behavior.inner.horizon 2 --agent.behavior.reward.units 8 --sync --eval-every 0 --video-every 0
""")


def train(logdir: Path, env_steps: int) -> None:
  assert cli.main(["train", "multitask", *SMALL, "--logdir", str(logdir), "--env-steps", str(env_steps)]) == 0


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  logdir = tmp_path_factory.mktemp("runs") / "multitask"
  train(logdir, 3000)
  return logdir


@pytest.mark.slow
def test_its_rewards_learn_and_it_goes_on_to_the_bit(logdir: Path, tmp_path: Path):
  rows = read_metrics(logdir / "metrics.jsonl")
  assert any(row.get("train/loss/task_rewards") is not None for row in rows)
  train(tmp_path / "halves", 2000)
  train(tmp_path / "halves", 3000)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)


@pytest.mark.slow
def test_it_is_scored_on_a_task_that_it_never_collected_for(logdir: Path, capsys: pytest.CaptureFixture[str]):
  assert cli.main(["eval", str(logdir), "--episodes", "1", "--task", "tasks/walker_stand"]) == 0
  stood = capsys.readouterr().out
  assert cli.main(["eval", str(logdir), "--episodes", "1"]) == 0
  assert "return" in stood and stood != capsys.readouterr().out
  assert cli.main(["eval", str(logdir), "--episodes", "1", "--task", "dmc/walker_stand"]) == 2
  assert "shows other observations than the run was trained on" in capsys.readouterr().err


def test_an_environment_of_one_task_is_refused_by_name():
  with pytest.raises(ValueError, match=r"MultiTask needs the observation 'event/task'"):
    Agent(build("multitask").agent, WALKER)
