"""The environments of docs/environments.md and examples/ are sound, and its commands are taken as they stand."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dreamerax import cli
from dreamerax.api import evaluate, load_policy
from dreamerax.envs import check_env
from dreamerax.envs.suites.custom import adapt
from dreamerax.runtime.telemetry.metrics import read_metrics

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "environments.md").read_text().replace("\\\n", "")
FOLDER = "PYTHONPATH=examples "


def commands(name: str) -> list[list[str]]:
  """Arguments of each `dreamerax <name>` in the page that has the folder of examples in front."""
  lines = re.findall(f"^{FOLDER}dreamerax ({name} .*)$", PAGE, re.M)
  return [shlex.split(line) for line in lines]


def test_a_trained_agent_acts_before_any_training():
  folder = ROOT / "examples" / "agents" / "ball_in_cup_catch"
  assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2 * 2**20
  assert cli.main(["doctor", str(folder)]) == 0
  image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
  action, _ = load_policy(folder)({"image": image})
  assert action.shape == (1, 2) and np.isfinite(action).all()


@pytest.mark.slow
def test_the_trained_agent_catches_the_ball():
  assert evaluate(ROOT / "examples" / "agents" / "ball_in_cup_catch", episodes=3, seed=1).returns.mean() > 600


def test_the_pages_command_finds_nothing_wrong_with_the_example(
  monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
  monkeypatch.syspath_prepend(ROOT / "examples")
  (arguments,) = commands("check-env")
  assert cli.main(arguments) == 0
  printed = capsys.readouterr().out
  assert "Nothing is wrong" in printed and "one of 3 choices" in printed and "from -1 to 1 a step" in printed


def test_the_pages_own_environments_are_sound():
  page: dict = {}
  for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
    exec(compile(block, "docs/environments.md", "exec"), page)
  check_env(page["Dial"](0), factory=page["Dial"], steps=120)
  check_env(adapt(page["pendulum"](), 0, "pendulum"), factory=lambda seed: adapt(page["pendulum"](), seed, "pendulum"))


@pytest.mark.slow
def test_the_pages_command_trains_on_the_example(tmp_path: Path):
  (arguments,) = commands("train")
  short = ["--env-steps", "700", "--eval-every", "0", "--log-every", "1", "--logdir", str(tmp_path / "run")]
  environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'examples'}"}
  line = [sys.executable, "-m", "dreamerax", *arguments, *short]
  done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
  assert rows[-1]["updates"] >= 100 and {row.get("episode/length", 7.0) for row in rows} == {7.0}
  assert any(row.get("train/loss/reward", 0) > 0 for row in rows)
