"""A whole run in miniature: what it learns, counts, writes, and how it ends and goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from dreamerax.analysis.animations import newest_animations
from dreamerax.envs.faults import NoPicture
from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, load_state
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.runtime.telemetry.profile import STAGES
from tests.runtime.toys import REPLAY, Follow, Regression, make_envs, run

ROOT = Path(__file__).resolve().parents[2]


def column(logdir: Path, name: str) -> list:
  return [row[name] for row in read_metrics(logdir / "metrics.jsonl") if name in row]


def checkpoints(logdir: Path) -> list[int]:
  return sorted(int(path.name) for path in (logdir / FOLDER).iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
  logdir = tmp_path_factory.mktemp("finished")
  return logdir, run(logdir)


def test_it_learns(finished):
  _, result = finished
  assert result.evaluation.returns.shape == (3,)
  assert result.evaluation.returns.mean() > 9.9  # of 10; acting with zero gives 7.3
  assert not result.interrupted


def test_the_train_ratio_is_met_exactly(finished):
  _, result = finished
  counters = result.counters
  # 4 streams of episodes of 10 decisions and a reset; prefill ends with the iteration that brings 60 rows.
  prefilled = int((~np.array([row % 11 == 0 for row in range(1, 16)])).sum()) * 4
  assert counters.updates == 1 + 8 * (counters.agent_steps - prefilled) // (REPLAY.batch_size * REPLAY.batch_length)
  assert counters.env_steps == 2 * counters.agent_steps
  assert counters.env_steps >= 1200


def test_metrics_carry_counters_and_have_the_documented_names(finished):
  logdir, result = finished
  rows = read_metrics(logdir / "metrics.jsonl")
  assert all({"env_steps", "agent_steps", "updates", "seconds"} <= row.keys() for row in rows)
  names = set().union(*rows)
  assert names >= {
    "episode/return",
    "episode/length",
    "episode/log/x",
    "eval/log/success",
    "eval/return",
    "eval/return_std",
    "eval/return_min",
    "eval/return_max",
    "eval/length",
    "train/loss/reward",
    "train/noise",
    "report/k",
    "replay/steps",
    "replay/ratio",
    "time/env_steps_per_second",
    "time/updates_per_second",
    "time/wait_policy",
    "time/wait_updates",
    "time/wait_envs",
  }
  assert set(column(logdir, "episode/length")) == {10}
  assert [row["env_steps"] for row in rows] == sorted(row["env_steps"] for row in rows)
  evaluated = [row["env_steps"] for row in rows if "eval/return" in row]
  assert len(evaluated) == 3 and evaluated[-1] == result.counters.env_steps
  assert column(logdir, "replay/ratio")[-1] == pytest.approx(8, rel=0.02)


def test_the_seed_decides_everything(finished, tmp_path: Path):
  logdir, result = finished
  again = run(tmp_path / "same")
  other = run(tmp_path / "other", seed=1)
  for name in ("train/loss/reward", "train/noise", "episode/return", "eval/return"):
    assert column(logdir, name) == column(tmp_path / "same", name)
    assert column(logdir, name) != column(tmp_path / "other", name)
  assert result.counters == again.counters == other.counters


def test_a_profile_tells_the_stages_and_changes_nothing(finished, tmp_path: Path, capsys):
  logdir, result = finished
  assert run(tmp_path, profile=True).counters == result.counters
  # Where lines of metrics fall differs, their means over the whole run do not; evaluations see the same parameters.
  assert column(logdir, "eval/return") == column(tmp_path, "eval/return")
  text = capsys.readouterr().out
  rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines() if line.split()[0] in STAGES}
  assert list(rows) == list(STAGES)
  per_step, each = np.array([rows[name] for name in ("render", "update")], float).T
  assert per_step[0] == 0 < per_step[1]  # the toy draws nothing
  assert each[1] == pytest.approx(8 * per_step[1], rel=0.2)  # one update of 8x8 steps every 8 agent steps at ratio 8
  assert "GB/s" in text and "GFLOP/s" not in text  # nor does it multiply matrices
  assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_a_longer_run_continues_from_the_checkpoint(tmp_path: Path):
  seeds = []

  def envs(count: int, seed: int, film: bool = False):
    seeds.append(seed)
    return make_envs(count, seed)

  first = run(tmp_path, env_steps=400, make_envs=envs)
  rows = read_metrics(tmp_path / "metrics.jsonl")
  with (tmp_path / "metrics.jsonl").open("a") as file:  # what a crash after the checkpoint leaves behind
    file.write(json.dumps(rows[-1] | {"env_steps": 10_000}) + '\n{"env_st')
  second = run(tmp_path, env_steps=800, make_envs=envs)
  collected = second.counters.agent_steps - first.counters.agent_steps
  batch = REPLAY.batch_size * REPLAY.batch_length
  assert abs(second.counters.updates - first.counters.updates - 8 * collected / batch) < 1
  assert second.seconds > first.seconds
  after = read_metrics(tmp_path / "metrics.jsonl")
  assert after[: len(rows)] == rows
  assert max(row["env_steps"] for row in after) == second.counters.env_steps
  collecting, evaluating = seeds[::2], seeds[1::2]
  assert len(set(collecting)) == 1  # episodes are numbered, and go on
  assert len(set(evaluating)) == 2 and not set(collecting) & set(evaluating)
  assert checkpoints(tmp_path) == [first.counters.env_steps, second.counters.env_steps]
  # Each call of the policy makes at most 4 decisions, so these are the calls of both parts.
  assert 4 * load_state(tmp_path, Regression())[1].calls >= second.counters.agent_steps


def test_a_finished_run_is_left_as_it_is(finished):
  logdir, result = finished
  before = (logdir / "metrics.jsonl").read_bytes()
  again = run(logdir)
  assert again.counters == result.counters and again.evaluation is None
  assert (logdir / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
  ("change", "message"), [({"agent": Regression(shape=(3,))}, "params/k"), ({"seed": 1}, "seed=1")]
)
def test_a_run_that_does_not_fit_is_refused_and_changes_nothing(finished, change, message):
  logdir, _ = finished

  def files() -> dict[Path, int]:
    paths = (path for path in logdir.rglob("*") if path.is_file() and path.name != "lock")
    return {path: path.stat().st_mtime_ns for path in paths}

  before = files()
  with pytest.raises(ValueError, match=message):
    run(logdir, env_steps=9999, **change)
  assert files() == before


def test_divergence_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path):
  first = run(tmp_path, env_steps=400)
  with pytest.raises(Diverged, match=f"{first.counters.env_steps} env steps is intact"):
    run(tmp_path, env_steps=800, agent=Regression(learning_rate=float("inf")))
  assert checkpoints(tmp_path) == [first.counters.env_steps]
  assert run(tmp_path, env_steps=600).counters.env_steps >= 600


def test_ctrl_c_saves_and_the_run_goes_on(tmp_path: Path):
  class Interrupting(Follow):
    seen = 0

    def step(self, action):
      Interrupting.seen += 1
      if Interrupting.seen == 300:
        os.kill(os.getpid(), signal.SIGINT)
      return super().step(action)

  def make_envs(count, seed, film=False):
    return SerialEnvs([Interrupting() for _ in range(count)], range(seed, seed + count))

  handler = signal.getsignal(signal.SIGINT)
  result = run(tmp_path, make_envs=make_envs)
  assert result.interrupted and result.counters.env_steps < 1200
  assert signal.getsignal(signal.SIGINT) == handler
  assert checkpoints(tmp_path) == [result.counters.env_steps]
  assert run(tmp_path).counters.env_steps >= 1200


def test_a_second_signal_leaves_at_once():
  program = (
    "import os, signal\nfrom dreamerax.runtime.interrupt import StopSignals\n"
    "with StopSignals() as stop:\n  os.kill(os.getpid(), signal.SIGTERM)\n  assert stop.requested\n"
    "  os.kill(os.getpid(), signal.SIGINT)\n  print('still here')\n"
  )
  done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 128 + signal.SIGINT and done.stdout == ""


@pytest.mark.parametrize(
  ("field", "options"),
  [
    ("env_steps=100", {"env_steps": 100}),
    ("env_steps=10 .*4 environments", {"env_steps": 10, "prefill_steps": 0}),
    ("loop.prefill_steps=5000", {"prefill_steps": 5000, "env_steps": 90_000}),
    ("loop.log_every=0", {"log_every": 0}),
    ("loop.eval_every=-1", {"eval_every": -1}),
  ],
)
def test_settings_that_make_no_sense_are_named(tmp_path: Path, field: str, options: dict):
  with pytest.raises(ValueError, match=field):
    run(tmp_path, **options)


def test_nothing_is_evaluated_or_filmed_if_so_asked(tmp_path: Path):
  result = run(tmp_path, env_steps=300, eval_episodes=0, video_every=0)
  assert result.evaluation is None
  assert not column(tmp_path, "eval/return") and not column(tmp_path, "report/k")


def test_only_a_run_that_begins_is_given_another_beginning(tmp_path: Path):
  begun = []

  def initial(state):
    begun.append(state)
    return {**state, "params": {"k": state["params"]["k"] * 0 + 5}}

  class Still(Regression):
    def update(self, state, batch, key):
      return state, *super().update(state, batch, key)[1:]

  for env_steps in (300, 500):
    run(tmp_path, env_steps=env_steps, agent=Still(), initial=initial, eval_episodes=0, video_every=0)
  assert len(begun) == 1
  assert float(load_state(tmp_path, Still())[0]["params"]["k"]) == 5


def test_films_of_evaluations_are_labelled(finished):
  films = [film for film in newest_animations(finished[0]) if film.name == "eval/video"]
  frames = imageio.imread(films[0].gif, index=None)
  assert frames.shape[:3] == (11, 20 + 128, 128)  # a line of text above enlarged pixels
  assert (frames[0, :20, :40] != frames[-1, :20, :40]).any()


def test_a_run_whose_environments_have_no_pictures_says_so_once_and_goes_on(tmp_path: Path, capsys):
  def envs(num_envs: int, seed: int, *, film: bool = False):
    batch = make_envs(num_envs, seed)
    if film:
      raise NoPicture("it has no render()")
    return batch

  result = run(tmp_path, env_steps=1200, make_envs=envs, video_every=300)
  said = [line for line in capsys.readouterr().out.splitlines() if "no film" in line]
  assert len(said) == 1 and "--video-every 0" in said[0] and result.evaluation is not None
