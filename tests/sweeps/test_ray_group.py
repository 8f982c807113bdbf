"""A trial over several hosts: how its ends are told, and one that really trains over two on a local Ray."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.sweeps.manifest import Manifest
from dreamerax.sweeps.process import Event
from dreamerax.sweeps.ray_group import merged
from tests.conftest import ROOT
from tests.runtime.test_host_runs import COMMAND

TRIAL = "planet-gym-Pendulum-v1-seed0"
LOST = Event("trial", "crashed", "another host has ended")


def test_the_end_of_a_trial_is_the_worst_of_its_hosts():
  finished, left = Event("trial", "finished"), Event("trial", "interrupted")
  refused, told = Event("trial", "refused", "why"), Event("trial", "refused", "host 0 says why")
  killed = Event("trial", "crashed", "killed by SIGKILL")
  assert merged({1: left, 0: finished}) == finished  # host 0 knows how far the run is
  assert merged({0: finished, 1: killed}) == killed
  assert merged({1: killed, 0: LOST}) == killed
  assert merged({1: LOST, 0: refused}) == refused
  assert merged({1: told, 0: refused}) == refused


def options() -> dict[str, str]:
  """COMMAND as a sweep has it; the task apart."""
  flags = {name[2:]: value for name, value in zip(COMMAND[::2], COMMAND[1::2], strict=True)}
  del flags["task"]
  return flags


def spec(folder: Path) -> Path:
  grid = {"presets": ["planet"], "tasks": ["gym/Pendulum-v1"], "options": options()}
  path = folder / "spec.yaml"
  path.write_text(yaml.safe_dump({"grids": [grid], "retries": 0, "resources": {"cpus": 0.5, "hosts": 2}}))
  return path


def command(folder: Path, *more: str) -> list[str]:
  return [sys.executable, "-m", "dreamerax", "sweep", str(spec(folder)), "--logdir", str(folder / "sweep"), *more]


def test_several_hosts_without_ray_are_refused(tmp_path: Path):
  done = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 2 and f"{TRIAL}: resources.hosts=2 needs Ray: give --ray" in done.stderr


@pytest.mark.slow
def test_a_trial_over_two_hosts_reaches_its_end(tmp_path: Path):
  done = subprocess.run(command(tmp_path, "--ray", "local"), cwd=ROOT, capture_output=True, text=True, check=False)
  run = tmp_path / "sweep" / TRIAL
  logs = "".join(path.read_text() for path in run.glob("output*.log"))
  assert done.returncode == 0, done.stdout + done.stderr + logs
  record = Manifest.load(tmp_path / "sweep")[TRIAL]
  assert (record.state, record.attempts) == ("finished", 1)
  assert read_metrics(run / "metrics.jsonl")[-1]["env_steps"] >= 900
  assert "host 1 of 2" in (run / "output-host-1.log").read_text()
  assert "host 1 of 2" not in (run / "output.log").read_text()
