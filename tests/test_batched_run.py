"""Runs of environments that step together in one call, through the command line: train, go on, score, film, record."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics

pytestmark = pytest.mark.slow

SMALL = shlex.split("""
  --image-size 16 --num-envs 2 --prefill-steps 20 --action-repeat 1 --log-every 0.5 --eval-episodes 2
  --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4 --schedule.ratio 1
  --agent.world-model.encoder.depth 2 --agent.world-model.encoder.mults 1 2
  --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8
  --agent.world-model.dynamics.stochastic.groups 2 --agent.world-model.dynamics.stochastic.classes 4
  --agent.world-model.reward.units 8 --agent.world-model.continues.units 8
  --agent.behavior.actor.layers 1 --agent.behavior.actor.units 8
  --agent.behavior.critic.layers 1 --agent.behavior.critic.units 8 --agent.behavior.horizon 2
  --agent.world-model.objectives.reconstruction.decoder.depth 4
  --agent.world-model.objectives.reconstruction.decoder.mults 1 2
  --agent.world-model.objectives.reconstruction.decoder.units 8
  --sync --eval-every 0 --video-every 0
""")
# Where each is halved: at the end of a run, updates that are due come before the next step, and in its middle after it.
HALVES = {"vector:tests.envs.vectors:saved": 90, "jit:tests.envs.programs:drift": 92}


def train(task: str, logdir: Path, env_steps: int) -> None:
  options = ["--task", task, *SMALL, "--logdir", str(logdir), "--env-steps", str(env_steps)]
  assert cli.main(["train", "dreamer-v3", *options]) == 0


@pytest.mark.parametrize("task", HALVES)
def test_it_trains_goes_on_to_the_bit_and_is_scored(task: str, tmp_path: Path):
  whole, halves, film, episodes = (tmp_path / name for name in ("whole", "halves", "film.gif", "episodes"))
  train(task, whole, 160)
  train(task, halves, HALVES[task])
  train(task, halves, 160)
  parameters = [api.load_agent(folder, trust=True)[1] for folder in (whole, halves)]
  jax.tree.map(np.testing.assert_array_equal, *parameters)
  rows = read_metrics(whole / "metrics.jsonl")
  assert rows[-1]["updates"] > 10 and any(row.get("eval/return") is not None for row in rows)
  assert cli.main(["eval", str(whole), "--episodes", "2", "--video", str(film), "--trust", "tests"]) == 0
  assert film.stat().st_size > 0
  words = ["--policy", str(whole), "--episodes", "3", "--out", str(episodes), "--trust", "tests"]
  assert cli.main(["record", *words]) == 0
  assert len(list(episodes.glob("*.npz"))) == 3
  assert cli.main(["check-env", task, "--image-size", "64"]) == 0
