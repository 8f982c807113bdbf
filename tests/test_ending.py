"""What a command that trains says at its end."""

import json
from pathlib import Path

import pytest

from dreamerax.commands import ending


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(ending.sys, "argv", ["dreamerax"])
  monkeypatch.setattr(ending.shutil, "which", lambda name: name)
  return tmp_path


def make_run(path: Path, returns: list[float]) -> Path:
  path.mkdir(parents=True)
  (path / "config.json").write_text("{}")
  rows = [{"env_steps": 100 * index, "eval/return": value} for index, value in enumerate(returns, 1)]
  (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def test_a_finished_run_tells_where_it_is_what_it_reached_and_how_to_go_on(here: Path):
  run = make_run(here / "runs/one", [3.0, 9.0, 7.5])
  lines = ending.trained(run, env_steps=305, total=300, seconds=65.2, interrupted=False, own=())
  assert lines[:3] == [
    "finished: 305 env steps, 1 min 5 s",
    "run: runs/one",
    "return: 7.5 at the last evaluation; best 9.0 at 200 env steps",
  ]
  commands = [line.partition("#")[0].strip() for line in lines[4:]]
  assert commands == [
    "dreamerax eval latest",
    "dreamerax plot latest --out curve.png",
    "dreamerax video latest --out dream.mp4",
    "dreamerax train --logdir latest --env-steps 600",
  ]
  assert all(len(line) <= 80 for line in lines)


def test_a_run_whose_model_draws_nothing_is_not_to_be_filmed(here: Path):
  run = make_run(here / "runs/one", [])
  lines = ending.trained(run, env_steps=300, total=300, seconds=1, interrupted=False, own=(), draws=False)
  assert not any("video" in line for line in lines) and any("doctor latest" in line for line in lines)


def test_a_run_elsewhere_is_named_and_its_own_code_too(here: Path):
  run = make_run(here / "my runs/one", [])
  make_run(here / "runs/other", [])
  lines = ending.trained(run, env_steps=50, total=300, seconds=1, interrupted=True, own=["catch"])
  assert lines[0].startswith("interrupted at 50 of 300 env steps")
  assert "train --logdir 'my runs/one' --env-steps 300 --trust catch" in "\n".join(lines)
  assert not any("return" in line for line in lines)


def test_a_comment_stands_above_a_command_that_is_long(here: Path):
  runs = [make_run(here / f"runs/quick-dmc-cartpole_balance-seeds0-1-20261128-084704/seed-{i}", [3.0]) for i in (0, 1)]
  lines = ending.seeds_trained(runs[0].parent, runs, total=300, interrupted=False, own=())
  folder = "runs/quick-dmc-cartpole_balance-seeds0-1-20261128-084704"
  assert lines[3:] == [
    "next:",
    "  # mean of the seeds",
    f"  dreamerax plot {folder} --out curve.png",
    "  # one's score",
    f"  dreamerax eval {folder}/seed-0",
    "  # go on",
    f"  dreamerax train --seeds 2 --logdir {folder} --env-steps 600",
  ]


@pytest.mark.parametrize("interrupted", [True, False])
def test_the_other_endings_fit_a_terminal(here: Path, interrupted: bool):
  run = make_run(here / "runs/one", [])
  lines = ending.model_trained(run, updates=9000, seconds=60, interrupted=interrupted, data=Path("episodes"))
  lines += ending.swept(here / "sweeps/spec", Path("spec.yaml"), finished=3 + interrupted, total=4)
  assert all(len(line) <= 80 for line in lines)


def test_metrics_that_cannot_be_read_cost_their_line_alone(here: Path):
  run = make_run(here / "runs/one", [1.0])
  (run / "metrics.jsonl").write_text('{"eval/return": broken}\n')
  assert ending.read(run / "metrics.jsonl") is None
