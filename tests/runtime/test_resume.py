"""A run that is killed and started again is, to the bit, the run that never was; and what it takes to be less than that."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.envs.base import Step
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.vector import SerialEnvs
from dreamerax.replay import inspect
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, load_state
from dreamerax.runtime.devices.mesh import MeshConfig, divide_cpu, local_mesh, policy_mesh
from dreamerax.runtime.errors import Diverged, NotSaved
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.run_lock import RunLock
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.runtime.toys import REPLAY, Follow, Regression, run

STEPS = 5000
KILLS = 3


class Halves(SerialEnvs):
  """Two of them are acted in while the step of the other two is in flight, as with worker processes."""

  def __init__(self, envs: list[Follow], seeds: list[int]):
    super().__init__(envs, seeds)
    middle = len(envs) // 2
    self._parts = [SerialEnvs(envs[:middle], seeds[:middle]), SerialEnvs(envs[middle:], seeds[middle:])]

  def split(self) -> list[SerialEnvs]:
    return self._parts


def make_halves(num_envs: int, seed: int, film: bool = False, env: type[Follow] = Follow) -> SerialEnvs:
  seeds = derive_seeds(seed, num_envs)
  return Halves([env(one, length=7 + i) for i, one in enumerate(seeds)], seeds)


class Remembering(Regression):
  """Its actions depend on what the policy remembers, and its updates on the latents in the replay."""

  def act(self, params, carry, observation, is_first, key, *, explore: bool):
    action, memory, latents = super().act(params, carry, observation, is_first, key, explore=explore)
    return jnp.clip(action + 0.01 * carry, -1, 1), 0.9 * carry + memory, latents

  def update(self, state, batch, key):
    state, latents, metrics = super().update(state, batch, key)
    change = 1e-6 * batch.context["memory"].mean()
    return state | {"params": {"k": state["params"]["k"] + change}}, latents, metrics


def train(logdir: Path, **options: Any) -> TrainResult:
  defaults = {"sync": True, "make_envs": make_halves, "agent": Remembering()}
  return run(logdir, **{"env_steps": STEPS, **defaults, **options})


def what_is_left(logdir: Path) -> tuple[list[np.ndarray], list[dict]]:
  """The state of the last checkpoint, and all lines of metrics but what the clock says."""
  state, _ = load_state(logdir, Regression())
  rows = read_metrics(logdir / "metrics.jsonl")
  lines = [{k: v for k, v in row.items() if k != "seconds" and not k.startswith("time/")} for row in rows]
  return jax.tree.leaves(jax.device_get(state)), lines


def newest(logdir: Path) -> int:
  folder = logdir / FOLDER
  return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0) if folder.exists() else 0


class Doomed(Follow):
  """Kills its process, as kill -9 does, so many steps of any of them after the run has first saved something."""

  logdir: Path
  before: int  # the newest checkpoint when the process began
  left: int  # steps

  def step(self, action: np.ndarray) -> Step:
    if newest(self.logdir) == self.before:
      time.sleep(0.005)  # until the next checkpoint is due, long before the run ends
    elif Doomed.left == 0:
      os.kill(os.getpid(), signal.SIGKILL)
    else:
      Doomed.left -= 1
    return super().step(action)


def train_until_killed(logdir: Path, steps: int) -> None:
  """Run in a process of its own."""
  Doomed.logdir, Doomed.before, Doomed.left = logdir, newest(logdir), steps
  train(logdir, checkpoint_minutes=0.002, make_envs=partial(make_halves, env=Doomed))


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(tmp_path: Path):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  train(whole)
  seed = random.randrange(2**32)
  print(f"random moments of seed {seed}")
  moments = random.Random(seed)
  for _ in range(KILLS):
    steps = moments.randrange(300)
    program = f"from tests.runtime import test_resume as t; t.train_until_killed(t.Path({str(killed)!r}), {steps})"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL and newest(killed) > 0
  train(killed)
  (state, lines), (state_whole, lines_whole) = what_is_left(killed), what_is_left(whole)
  assert len(state) > 3 and len(lines) > STEPS / 1000 and any("eval/return" in line for line in lines)
  for array, expected in zip(state, state_whole, strict=True):
    np.testing.assert_array_equal(array, expected)
  assert lines == lines_whole


def train_with_two_devices(logdir: Path) -> None:
  """Run in a process of its own, before jax has looked for devices."""
  divide_cpu(MeshConfig(data=1), 8)
  assert not set(policy_mesh().devices.flat) & set(local_mesh().devices.flat)
  train(logdir)


@pytest.mark.slow
def test_where_the_policy_acts_changes_nothing(tmp_path: Path):
  train(tmp_path / "one")
  program = f"from tests.runtime import test_resume as t; t.train_with_two_devices(t.Path({str(tmp_path / 'two')!r}))"
  subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
  (state, lines), (state_two, lines_two) = what_is_left(tmp_path / "one"), what_is_left(tmp_path / "two")
  for array, expected in zip(state, state_two, strict=True):
    np.testing.assert_array_equal(array, expected)
  assert lines == lines_two


@pytest.fixture
def killed_late(tmp_path: Path) -> Path:
  """A run whose checkpoint is at 1000 env steps, and which was killed 600 later."""
  saved = train(tmp_path, env_steps=1000).counters.env_steps
  last = train(tmp_path, env_steps=1600, checkpoint_minutes=100.0).counters.env_steps
  shutil.rmtree(tmp_path / FOLDER / str(last))
  assert newest(tmp_path) == saved
  return tmp_path


def steps_in_replay(logdir: Path) -> int:
  return inspect(logdir / "replay").rows


def test_what_came_after_the_checkpoint_is_dropped(killed_late: Path, capsys: pytest.CaptureFixture[str]):
  before, saved = steps_in_replay(killed_late), newest(killed_late)
  result = train(killed_late, env_steps=1100)
  assert f"continuing at {saved:,}" in capsys.readouterr().out
  assert steps_in_replay(killed_late) < before - 200
  assert read_metrics(killed_late / "metrics.jsonl")[-1]["env_steps"] == result.counters.env_steps < 1110


def test_what_came_after_the_checkpoint_is_kept_where_that_is_asked_for(
  killed_late: Path, capsys: pytest.CaptureFixture[str]
):
  before = steps_in_replay(killed_late)
  result = train(killed_late, env_steps=1700, resume="keep")
  assert re.search(r"kept (29\d|30\d) agent steps", capsys.readouterr().out)
  assert 1700 <= result.counters.env_steps < 1710
  assert before + 40 <= steps_in_replay(killed_late) < before + 80
  collected = result.counters.agent_steps - 60  # whose updates are owed, those of the kept ones included
  assert abs(result.counters.updates - 8 * collected / 64) < 3


def test_a_run_that_has_no_replay_on_disk_fills_it_again(tmp_path: Path):
  options = {"replay": replace(REPLAY, max_disk_bytes=0), "sync": False}
  first = train(tmp_path, env_steps=1000, **options)
  second = train(tmp_path, env_steps=1400, **options)
  refilled = 14 * 4  # 60 rows, a few of which begin episodes
  collected = second.counters.agent_steps - first.counters.agent_steps - refilled
  assert abs(second.counters.updates - first.counters.updates - 8 * collected / 64) < 2
  with pytest.raises(ValueError, match="sync=True needs the replay on disk"):
    train(tmp_path, env_steps=2000, replay=replace(REPLAY, max_disk_bytes=0))


class Forgetful(Follow):
  """Its episodes do not follow from their seeds."""

  def reset(self, seed: int | None = None):
    return super().reset(time.time_ns() % 2**32)


def test_episodes_that_cannot_be_brought_back_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  def make_forgetful(num_envs: int, seed: int, film: bool = False) -> SerialEnvs:
    return SerialEnvs([Forgetful(length=50) for _ in range(num_envs)], derive_seeds(seed, num_envs))

  train(tmp_path, env_steps=1000, make_envs=make_forgetful)
  train(tmp_path, env_steps=1400, make_envs=make_forgetful)
  assert "4 episodes that had begun could not be brought back; they were cut short" in capsys.readouterr().out
  lengths = [row["episode/length"] for row in read_metrics(tmp_path / "metrics.jsonl") if "episode/length" in row]
  assert lengths and set(lengths) == {50}


def test_two_runs_cannot_share_a_directory(tmp_path: Path):
  with RunLock(tmp_path), pytest.raises(ValueError, match="in use by process"):
    train(tmp_path)


def test_a_clock_that_goes_backwards_disturbs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  now = time.time()

  def backwards() -> float:
    nonlocal now
    now -= 3600.0
    return now

  monkeypatch.setattr(time, "time", backwards)
  train(tmp_path, env_steps=1000)
  result = train(tmp_path, env_steps=2000)
  lines = read_metrics(tmp_path / "metrics.jsonl")
  seconds = [line["seconds"] for line in lines]
  assert result.counters.env_steps >= 2000 and seconds == sorted(seconds) and result.seconds > 0
  assert newest(tmp_path) == result.counters.env_steps


class Broken(Follow):
  """The 400th reward that any of them gives is not a number."""

  made = 0

  def step(self, action: np.ndarray):
    Broken.made += 1
    return super().step(action)._replace(**({"reward": np.nan} if Broken.made == 400 else {}))


def make_broken(num_envs: int, seed: int, film: bool = False) -> SerialEnvs:
  Broken.made = 0
  seeds = derive_seeds(seed, num_envs)
  return SerialEnvs([Broken(one) for one in seeds], seeds)


BROKEN = {"make_envs": make_broken, "eval_episodes": 0, "checkpoint_minutes": 100.0}


def test_a_run_ends_where_its_numbers_are_no_longer_finite(tmp_path: Path):
  saved = train(tmp_path, env_steps=300, **BROKEN).counters.env_steps
  with pytest.raises(
    Diverged, match=rf"reward of environment \d in its batch; .* checkpoint at {saved} env steps is intact"
  ):
    train(tmp_path, **BROKEN)
  (folder,) = (tmp_path / "nonfinite").iterdir()
  assert sorted(path.name for path in folder.iterdir()) == ["batch.npz", "state.npz"]


def test_a_run_goes_on_without_updates_that_are_not_finite(tmp_path: Path):
  result = train(tmp_path, nonfinite="skip", env_steps=2000, **BROKEN)
  assert result.counters.env_steps >= 2000
  skipped = [row["train/skipped_updates"] for row in read_metrics(tmp_path / "metrics.jsonl") if "replay/ratio" in row]
  assert skipped == sorted(skipped) and skipped[-1] > 0


def run_on_a_small_disk(logdir: Path) -> None:
  """Run in a process of its own, whose files cannot grow beyond a few kilobytes: metrics, replay and checkpoints all fail."""
  signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  train(logdir, env_steps=1000)
  resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
  try:
    train(logdir, env_steps=3000)
  except NotSaved as error:
    print(error)
  resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
  result = train(logdir, env_steps=2000)
  print(f"then {result.counters.env_steps}, {len(read_metrics(logdir / 'metrics.jsonl'))} lines")


def test_a_full_disk_ends_no_run_and_costs_no_checkpoint(tmp_path: Path):
  program = f"from tests.runtime import test_resume as t; t.run_on_a_small_disk(t.Path({str(tmp_path)!r}))"
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-3000:]
  assert "the last checkpoint could not be saved" in done.stdout and "mend that, and go on" in done.stdout
  assert re.search(r"continuing at 1,00\d env steps", done.stdout.split("mend that, and go on")[1])
  assert re.search(r"then 200\d, [1-9]\d* lines", done.stdout)
  for what in ("metrics.jsonl cannot be written", "TensorBoard's events cannot be written", "could not be saved"):
    assert what in done.stderr, what
