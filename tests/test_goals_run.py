"""Runs of her and lexa on the reacher with goals, through the command line: train, go on, score, film, export."""

import shlex
from pathlib import Path

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.agent import Agent
from dreamerax.presets import build
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.test_presets import WALKER

SMALL = shlex.split("""
  --task goal/reacher --observations position velocity --action-repeat 20 --num-envs 2 --prefill-steps 20
  --log-every 0.5 --eval-episodes 2 --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4
  --schedule.ratio 2 --agent.world-model.encoder.units 8 --agent.world-model.dynamics.deter 16
  --agent.world-model.dynamics.hidden 8 --agent.world-model.reward.head.units 8 --agent.world-model.continues.units 8
  --agent.world-model.objectives.reconstruction.decoder.units 8 --sync --eval-every 0 --video-every 0
""")
OF = {
  "her": [
    "--agent.behavior.inner.horizon",
    "2",
    "--agent.behavior.reward.units",
    "8",
    "--agent.behavior.reward.limit",
    "3",
  ],
  "lexa": shlex.split("""
    --agent.behavior.task.inner.horizon 2 --agent.behavior.task.reward.units 8 --agent.behavior.task.reward.limit 3
    --agent.behavior.explorer.inner.horizon 2 --agent.behavior.explorer.reward.members 3
    --agent.behavior.explorer.reward.units 8
  """),
}


def train(preset: str, logdir: Path, env_steps: int) -> None:
  options = [*SMALL, *OF[preset], "--logdir", str(logdir), "--env-steps", str(env_steps)]
  assert cli.main(["train", preset, *options]) == 0


@pytest.fixture(scope="module", params=OF)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
  logdir = tmp_path_factory.mktemp("runs") / request.param
  train(request.param, logdir, 1200)
  return request.param, logdir


@pytest.mark.slow
def test_the_distance_learns_and_success_and_distance_are_scored(run: tuple[str, Path]):
  preset, logdir = run
  rows = read_metrics(logdir / "metrics.jsonl")
  name = "train/loss/temporal_distance" if preset == "her" else "train/loss/task/temporal_distance"
  assert any(row.get(name) is not None for row in rows)
  scored = [row for row in rows if row.get("eval/return") is not None][-1]
  assert 0 <= scored["eval/return"] <= 1 and 0 <= scored["eval/log/distance"] < 0.5


@pytest.mark.slow
def test_it_goes_on_to_the_bit(run: tuple[str, Path], tmp_path: Path):
  preset, logdir = run
  train(preset, tmp_path / "halves", 800)
  train(preset, tmp_path / "halves", 1200)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)


@pytest.mark.slow
def test_its_policy_is_filmed_and_exported_and_asks_for_the_goal(run: tuple[str, Path], tmp_path: Path):
  _, logdir = run
  film, policy = tmp_path / "film.gif", tmp_path / "policy.bin"
  assert cli.main(["eval", str(logdir), "--episodes", "1", "--video", str(film)]) == 0
  assert len(imageio.imread(film, index=None)) == 11
  assert cli.main(["export", str(logdir), "--out", str(policy), "--batch", "2", "--platforms", "cpu"]) == 0
  rng = np.random.default_rng(0)
  observation = {
    name: rng.normal(size=(2, 2)).astype(np.float32)
    for name in ("position", "velocity", "goal/position", "goal/velocity")
  }
  action, _ = dreamerax.load_exported(policy)(observation)
  assert action.shape == (2, 2)


@pytest.mark.slow
def test_its_dream_is_filmed_beside_the_goal(tmp_path: Path):
  small = shlex.split("""
    --task goal/reacher --image-size 46 --rendering fast --action-repeat 20 --num-envs 1 --prefill-steps 12
    --eval-episodes 0 --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4 --schedule.ratio 1
    --agent.world-model.encoder.depth 2 --agent.world-model.encoder.units 8 --agent.world-model.dynamics.deter 16
    --agent.world-model.dynamics.hidden 8 --agent.world-model.reward.head.units 8
    --agent.world-model.continues.units 8 --agent.world-model.objectives.reconstruction.decoder.units 8
    --sync --eval-every 0 --video-every 0
  """)
  logdir, film = tmp_path / "her", tmp_path / "film.gif"
  assert cli.main(["train", "her", *small, *OF["her"], "--logdir", str(logdir), "--env-steps", "280"]) == 0
  assert cli.main(["video", str(logdir), "--context", "2", "--horizon", "3", "--out", str(film)]) == 0
  frames = imageio.imread(film, index=None)[..., :3]
  truth, _, _, goal = np.split(frames[:, 40:], 4, 2)
  assert len(frames) == 10 and np.ptp(truth.astype(int), 0).max() > 50  # the arm moves
  assert np.ptp(goal.astype(int), 0).mean() < 0.7  # but for the colours of a GIF, which each frame chooses anew
  assert np.ptp(truth.astype(int), 0).mean() > 1 and np.abs(goal[0].astype(int) - truth[0]).mean() > 1


@pytest.mark.parametrize("preset", OF)
def test_an_environment_without_goals_is_refused_by_name(preset: str):
  with pytest.raises(
    ValueError, match=r"agent\.behavior needs the observation 'goal/image', and the environment shows"
  ):
    Agent(build(preset).agent, WALKER)
