"""The list of runs, "latest", and the directories of runs that were given none."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from dreamerax import run_list
from dreamerax.cli import main
from dreamerax.runtime.run_lock import RunLock
from tests.conftest import ROOT


def make_run(path: Path, rows: list[dict], *, total: int = 1000, saved: bool = True, moment: float = 1e9) -> Path:
  path.mkdir(parents=True)
  config = {"env": {"task": "dmc/walker_walk"}, "seed": 3, "env_steps": total}
  (path / "config.json").write_text(json.dumps({"preset": "quick", "config": config}))
  (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  if saved:
    (path / "checkpoints" / "10").mkdir(parents=True)
  for name in ("config.json", "metrics.jsonl"):
    os.utime(path / name, (moment, moment))
  return path


def test_a_run_is_told_from_the_end_of_its_metrics(tmp_path: Path):
  rows = [{"env_steps": 10, "eval/return": 5.5}]
  rows += [{"env_steps": step, "episode/return": float(step)} for step in range(11, 501)]
  run = run_list.summarize(make_run(tmp_path / "run", rows))
  assert run[1:5] == ("dmc/walker_walk", "quick", 3, 500)
  assert (run.last_return, run.evaluated, run.state) == (5.5, True, "interrupted")


def test_an_evaluation_before_a_long_tail_counts_no_more_than_training_after_it(tmp_path: Path):
  rows = [{"env_steps": 10, "eval/return": 5.5}]
  rows += [{"env_steps": step, "episode/return": 7.0, "much": "x" * 1000} for step in range(11, 501)]
  run = run_list.summarize(make_run(tmp_path / "run", rows))
  assert (run.last_return, run.evaluated, run.steps) == (7.0, False, 500)


def test_a_list_of_runs_starts_without_jax():
  program = "import sys; from dreamerax.cli import main; main(['runs', 'tests']); sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_states(tmp_path: Path):
  ended = [{"env_steps": 1000}]
  assert run_list.summarize(make_run(tmp_path / "a", ended)).state == "finished"
  assert run_list.summarize(make_run(tmp_path / "b", ended[:0], saved=False)).state == "never saved"
  with RunLock(make_run(tmp_path / "c", ended)):
    assert run_list.summarize(tmp_path / "c").state == "running"


@pytest.mark.parametrize(
  "content", [b"", b"[]", b"{", b"\xff", b'{"config": 3}', b'{"config": {"env": {}}}', b"[" * 9000]
)
def test_a_broken_run_is_listed_with_the_reason(tmp_path: Path, content: bytes, capsys):
  make_run(tmp_path / "whole", [{"env_steps": 1000, "eval/return": 1.0}])
  broken = make_run(tmp_path / "broken", [])
  (broken / "config.json").write_bytes(content)
  odd = make_run(tmp_path / "odd", [])
  (odd / "metrics.jsonl").write_bytes(b'\xff\n[1]\n{"env_steps": 7}\n{"env_')
  assert main(["runs", str(tmp_path)]) == 0
  out = capsys.readouterr().out
  assert "broken" in out and "cannot be read" in out and "7/1,000" in out and "finished" in out


def test_latest_is_the_run_that_changed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert main(["eval", "latest"]) == 2
  assert capsys.readouterr().err.count("\n") == 1
  make_run(tmp_path / "runs/old", [], moment=1e9)
  make_run(tmp_path / "runs/new/seed-3", [], moment=2e9)
  assert run_list.with_latest("plot", ["latest", "--title", "latest"]) == ["runs/new/seed-3", "--title", "latest"]
  assert run_list.with_latest("train", ["--logdir=latest", "--task", "latest"]) == [
    "--logdir=runs/new/seed-3",
    "--task",
    "latest",
  ]
  (tmp_path / "latest").mkdir()
  assert run_list.with_latest("eval", ["latest"]) == ["latest"]


def test_runs_that_begin_in_one_second_have_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(run_list.time, "strftime", lambda _: "now")
  with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
    made = list(threads.map(lambda _: stack.enter_context(run_list.new_run_dir("a/b:c", tmp_path)), range(40)))
    assert len(set(made)) == 40 and all(path.is_dir() for path in made)
    assert tmp_path / "a-b-c-now" in made and tmp_path / "a-b-c-now-2" in made
    (made[0] / "config.json").write_text("")
  assert list(tmp_path.iterdir()) == [made[0]]  # the empty ones are taken away


def test_a_refused_run_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.chdir(tmp_path)
  assert main(["train", "--task", "gym/Nothing-v0"]) == 2
  assert not list(tmp_path.iterdir())
