"""Environments whose actions make several choices at once, from a command line to a policy that has learned."""

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest

import dreamerax
from dreamerax import cli, presets
from dreamerax.recordings.folder import EpisodeFolder
from dreamerax.runtime.schedule import TrainRatioConfig
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.types import ActionSpec
from tests import small_presets

pytestmark = pytest.mark.slow  # compiles an agent's functions several times

TINY = shlex.split("""
  --action-repeat 1 --num-envs 2 --prefill-steps 40 --env-steps 100 --eval-every 0 --eval-episodes 2
  --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4 --video-every 0
""")
V3 = shlex.split("""
  --schedule.ratio 2 --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8
  --agent.world-model.dynamics.stochastic.groups 2 --agent.behavior.horizon 2
""")
V1 = shlex.split("""
  --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8 --schedule.every 50
  --schedule.updates 1 --schedule.first 1 --agent.behavior.horizon 3
""")


@pytest.mark.parametrize(
  ("preset", "size", "options", "task", "groups"),
  [
    ("dreamer-v3", "1m", V3, "levers", (3, 2)),
    ("dreamer-v1", "small", V1, "switches", (2, 2, 2)),
  ],
  ids=["multi-discrete", "multi-binary"],
)
def test_they_are_trained_on_scored_recorded_and_exported(preset, size, options, task, groups, tmp_path: Path):
  run, out, folder = tmp_path / "run", tmp_path / "policy.bin", tmp_path / "episodes"
  task = f"tests.envs.toys:{task}"
  assert cli.main(["train", preset, "--size", size, "--task", task, "--logdir", str(run), *TINY, *options]) == 0
  spec = ActionSpec(sum(groups), discrete=True, groups=groups)
  assert dreamerax.evaluate(run, episodes=2, trust=True).lengths.tolist() == [10, 10]

  assert (
    cli.main(["export", str(run), "--out", str(out), "--platforms", "cpu", "--batch", "2", "--trust", "tests"]) == 0
  )
  exported, policy = dreamerax.load_exported(out), dreamerax.load_policy(run, trust=True)
  (size,) = exported.header["spec"]["observation"]["vector"]["shape"]
  observation = {"vector": np.eye(2, size, dtype=np.float32)}
  action, _ = exported(observation)
  np.testing.assert_array_equal(action, policy(observation)[0])
  assert spec.is_one_hot(action).all() and tuple(exported.header["spec"]["action"]["groups"]) == groups

  for actor in ("random", str(run)):
    line = ["record", "--task", task, "--policy", actor, "--action-repeat", "1", "--episodes", "2", "--trust", "tests"]
    assert cli.main([*line, "--out", str(folder)]) == 0
  episodes = EpisodeFolder(folder).read_all()
  assert len(episodes) == 4 and EpisodeFolder(folder).spec.action == spec
  assert all(spec.is_one_hot(np.asarray(episode.action[1:])).all() for episode in episodes)


@pytest.mark.parametrize(("preset", "horizon"), [("dreamer-v1", 15), ("dreamer-v2", 4), ("dreamer-v3", 4)])
def test_the_dreamers_learn_them(preset: str, horizon: int, tmp_path: Path):
  """Chance has 10 × (1/3 + 1/2) / 2 = 4.2, and one lever that is right 6.7 or 7.5, of 10.

  Dreamer v1 has no target network: with 4 imagined steps its critic learns from little but itself, and its values diverge.
  """
  run = presets.build(preset, small_presets.SMALLEST[preset])
  widths = {"units": 64, "deter": 64, "hidden": 64, "layers": 1, "groups": 4, "classes": 4, "dims": 8}
  rates = {"learning_rate": 1e-3, "warmup": 0}
  run = dataclasses.replace(
    run,
    env=dataclasses.replace(run.env, task="tests.envs.toys:levers", action_repeat=1),
    agent=small_presets.shrink(run.agent, {**widths, **rates, "horizon": horizon}),
    env_steps=6000,
    num_envs=4,
    replay=dataclasses.replace(run.replay, capacity=10_000, batch_size=16, batch_length=10),
    schedule=TrainRatioConfig(ratio=64),
    loop=dataclasses.replace(run.loop, prefill_steps=500, eval_every=1000, video_every=0),
  )
  dreamerax.train(run, tmp_path / "run")
  rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
  assert max(row.get("eval/return", 0.0) for row in rows) > 8
