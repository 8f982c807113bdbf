"""Runs of the video presets through the command line: record, train a world model, go on, dream, act."""

import re
import shlex
from pathlib import Path

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics
from experiments import foresight_distance, foresight_picture

pytestmark = pytest.mark.slow  # compiles an agent's functions many times

RECORD = """
  record --task table/reach --rendering fast --image-size 32 --episodes 4 --num-envs 2 --workers.count 0 --out
"""
MODEL = shlex.split("""
  --replay.batch-size 2 --replay.batch-length 4 --agent.world-model.encoder.depth 1
  --agent.world-model.encoder.stages 1 --agent.world-model.reward.units 8
""")
OF = {
  "oh": shlex.split("""
    --agent.world-model.predictor.channels 2 4 --agent.world-model.predictor.units 16
    --agent.world-model.predictor.action.factors 8 --agent.world-model.training.begins 0 2 4
  """),
  "cdna": shlex.split("""
    --agent.world-model.predictor.channels 2 2 2 2 2 2 2 --agent.world-model.predictor.moves 2
    --agent.world-model.training.decay 2
  """),
}
OF["svg"] = shlex.split("""
  --agent.world-model.predictor.channels 2 4 --agent.world-model.predictor.code 4 --agent.world-model.predictor.units 4
""")
COSTS = tuple(f"experiments.foresight_costs:{cost}" for cost in ("goal_image", "classifier"))
FORESIGHT = ("foresight", *COSTS)
OF |= dict.fromkeys(FORESIGHT, OF["cdna"])
OF["experiments.video_ablations:recurrent"] = OF["oh"]
# What a run that collects adds: two environments of the same images, and a planner that tries little.
TRAIN = shlex.split("""
  --task table/reach --rendering fast --image-size 32 --num-envs 2 --workers.count 0 --prefill-steps 60 --env-steps 120
  --eval-every 0 --eval-episodes 1 --video-every 0 --sync --schedule.every 20 --schedule.first 2
""")
HELD = shlex.split("--agent.behavior.planning.planner.repeat 1 --agent.behavior.planning.replan-every 1")
PLANS = {"candidates": 4, "elites": 2, "horizon": 2}


def alone(preset: str, data: Path, logdir: Path, updates: int) -> None:
  command = ["train-world-model", preset, *MODEL, *OF[preset], "--eval-every", "0", "--held-out", "0.25"]
  assert cli.main([*command, "--data", str(data), "--logdir", str(logdir), "--updates", str(updates)]) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
  folder = tmp_path_factory.mktemp("data") / "episodes"
  assert cli.main([*shlex.split(RECORD), str(folder)]) == 0
  return folder


@pytest.fixture(scope="module", params=OF)
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
  logdir = tmp_path_factory.mktemp("runs") / request.param.split(":")[-1]
  alone(request.param, data, logdir, 6)
  return request.param, logdir


def test_pictures_are_scored_by_horizon(run: tuple[str, Path]):
  row = [row for row in read_metrics(run[1] / "metrics.jsonl") if "open_loop/model/image/psnr/1" in row][-1]
  assert row["open_loop/model/image/psnr/10"] > 3
  assert -1 < row["open_loop/model/image/ssim/10"] < 1 and row["open_loop/last_frame/image/ssim/1"] > 0.5


def test_it_goes_on_to_the_bit(run: tuple[str, Path], data: Path, tmp_path: Path):
  preset, logdir = run
  alone(preset, data, tmp_path / "halves", 3)
  alone(preset, data, tmp_path / "halves", 6)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)


def test_it_plans_dreams_and_begins_a_run(run: tuple[str, Path], tmp_path: Path):
  preset, logdir = run
  film = tmp_path / "dream.mp4"
  short = ["--steps", "8", "--context", "2", "--horizon", "4"]
  assert cli.main(["video", str(logdir), "--out", str(film), *short]) == 0 and film.stat().st_size > 0
  begun = ["--init-world-model", str(logdir), "--logdir", str(tmp_path / "acts")]
  planner = "planning.planner" if preset in FORESIGHT else "planner"
  begun += [word for name, value in PLANS.items() for word in (f"--agent.behavior.{planner}.{name}", str(value))]
  begun += (
    ["--agent.behavior.planning.planner.repeat", "1", "--agent.behavior.planning.replan-every", "1"]
    if preset in FORESIGHT
    else []
  )
  assert cli.main(["train", preset, *TRAIN, *MODEL, *OF[preset], *begun]) == 0
  assert any("eval/return" in row for row in read_metrics(tmp_path / "acts" / "metrics.jsonl"))


def test_what_foresight_expects_is_drawn_beside_what_comes_of_it(run: tuple[str, Path], tmp_path: Path):
  preset, logdir = run
  if preset == "foresight":
    foresight_picture.main([str(logdir), "--out", str(tmp_path / "plan.png")])
    assert imageio.imread(tmp_path / "plan.png").shape == (2 * 128, 15 * 128, 3)
  else:
    with pytest.raises(SystemExit, match="follows no pixel: train the preset foresight"):
      foresight_picture.main([str(logdir)])


def test_what_foresight_leaves_is_told_beside_baselines(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  """On the same beginnings, of a model that has learned nothing: the object stays about where it is."""
  data, logdir = tmp_path / "episodes", tmp_path / "run"
  assert cli.main([*shlex.split(RECORD.replace("table/reach", "table/push")), str(data)]) == 0
  alone("foresight", data, logdir, 1)
  capsys.readouterr()
  planner = ["--candidates", "12", "--replan-every", "9"]
  foresight_distance.main([str(logdir), "--episodes", "2", *planner, "--costs", "pixel", "image"])
  told = capsys.readouterr().out
  rows = dict(re.findall(r"^([^ ].*): distance ([\d.]+) ±", told, re.MULTILINE))
  assert float(rows["controller of the true state"]) < 0.05 < float(rows["left alone"])
  assert float(rows["same planner, true physics"]) < float(rows["left alone"])
  assert {"foresight, pixel", "foresight, image", "random", "puck to the goal", "puck along the line"} <= rows.keys()
  assert len(re.findall(r"m nearer, in \d of 2 episodes, than left alone", told)) == 2
