"""`dreamerax sweep` as a person sees it, with processes that pretend to train."""

import json
import shlex
from pathlib import Path

import pytest

from dreamerax import cli, config_file, presets
from dreamerax.commands import sweep as command
from dreamerax.config import to_dict
from dreamerax.runtime.run_lock import RunLock
from dreamerax.sweeps.manifest import Manifest
from dreamerax.sweeps.process import Job
from dreamerax.sweeps.trials import Trial
from tests.sweeps.pretended import PROGRAM, attempts

FIRST, SECOND = (f"quick-dmc-cartpole_balance-seed{seed}" for seed in (0, 1))


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  """Runs the command on a spec of two trials, which go up to 8 env steps; the named one fails in the way that is told."""
  monkeypatch.chdir(tmp_path)
  Path("spec.yaml").write_text("grids: [{presets: [quick], seeds: [0, 1], options: {num-envs: 2}}]")

  def run(*arguments: str, **faults: str) -> int:
    def make_job(trial: Trial, logdir: Path) -> Job:
      run_dir = str(logdir / trial.name)
      fault = faults.get(f"seed{trial.config.seed}")
      line = ("-S", PROGRAM, run_dir, "8", *filter(None, [fault]))
      return Job(trial.name, line, run_dir, 8, str(tmp_path), trial.resources)

    monkeypatch.setattr(command, "make_job", make_job)
    return cli.main(["sweep", "spec.yaml", *arguments])

  return run


def begun(run_dir: Path, num_envs: int) -> None:
  """A run directory as `train` leaves it at its start."""
  config = to_dict(presets.build("quick")) | {"num_envs": num_envs}
  run_dir.mkdir(parents=True)
  (run_dir / config_file.CONFIG).write_text(json.dumps({"preset": "quick", "config": config}))


def test_the_command_of_each_trial_is_shown(sweep, monkeypatch, capsys, tmp_path: Path):
  monkeypatch.undo()
  monkeypatch.chdir(tmp_path)
  assert cli.main(["sweep", "spec.yaml", "--dry-run"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[:3] for line in lines] == [["dreamerax", "train", "quick"]] * 2
  assert lines[1].endswith(f"--seed 1 --num-envs 2 --logdir {tmp_path}/sweeps/spec/{SECOND}")
  config = cli.read_run(shlex.split(lines[1])[2:])
  assert (config.seed, config.num_envs) == (1, 2)
  assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_the_exit_status_says_whether_all_have_finished(sweep, capsys):
  assert sweep("--logdir", "sweep", seed1="refuse") == 1
  assert f"{SECOND}: failed, dreamerax train: num_envs=0" in capsys.readouterr().out
  assert sweep("--logdir", "sweep") == 0
  assert "2 finished, 0 running, 0 failed, 0 waiting" in capsys.readouterr().out
  assert len(attempts(Path("sweep"), FIRST)) == 1


def test_a_trial_that_is_named_no_more_is_left_out(sweep, capsys):
  sweep("--logdir", "sweep")
  Path("spec.yaml").write_text("grids: [{presets: [quick], options: {num-envs: 2}}]")
  assert sweep("--logdir", "sweep") == 0
  assert f"{SECOND} is in the sweep no more" in capsys.readouterr().out
  assert [name for name, _ in Manifest.load(Path("sweep")).items()] == [FIRST] and Path("sweep", SECOND).is_dir()


def test_a_directory_with_another_run_is_refused(sweep, capsys):
  begun(Path("sweep", FIRST), num_envs=3)
  assert sweep("--logdir", "sweep") == 2
  assert "num_envs=2 differs from 3" in capsys.readouterr().err
  assert not attempts(Path("sweep"), FIRST)


def test_a_run_that_somebody_else_trains_is_refused(sweep, capsys):
  with RunLock(Path("sweep", SECOND)):
    assert sweep("--logdir", "sweep") == 2
  assert f"{SECOND} is in use by process" in capsys.readouterr().err
  assert not attempts(Path("sweep"), FIRST)


def test_a_sweep_is_run_once_at_a_time(sweep, capsys):
  with RunLock(Path("sweep")):
    assert sweep("--logdir", "sweep") == 2
  assert "sweep is in use by process" in capsys.readouterr().err
