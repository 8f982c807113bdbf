"""Whole runs over two processes: what they count and write, how they end, and how they go on, on other hosts too."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax.replay.log.segment import Layout, SegmentReader, segments
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, load_state
from dreamerax.runtime.checkpoint.folder import find_steps
from dreamerax.runtime.checkpoint.replay import log_folder
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.types import column_specs
from tests.conftest import ROOT, cpu_devices
from tests.runtime.host_runs import LOST, finish, free_port, start
from tests.runtime.toys import REPLAY, SPEC, Regression, run

pytestmark = pytest.mark.slow
PREFILLED = 8 * 9  # decisions of 8 environments in 9 turns, which make a whole sequence of 1 + 8 steps of each
ENDLESS = {"env_steps": 10**6, "checkpoint_minutes": 0.01, "eval_episodes": 0, "video_every": 0}


def counters(output: str) -> list[str]:
  """env steps, agent steps, updates, and whether the run was interrupted."""
  return next(line for line in output.splitlines() if line.startswith("counters")).split()[1:]


def wait_for_checkpoint(logdir: Path, after: int, children: list[subprocess.Popen]) -> None:
  while max(find_steps(logdir / FOLDER), default=0) <= after:
    assert all(child.poll() is None for child in children)
    time.sleep(0.05)


def state_of(logdir: Path) -> list[np.ndarray]:
  return jax.tree.leaves(jax.device_get(load_state(logdir, Regression())[0]))


def seen(folder: Path) -> Counter:
  """How often each number that an environment has shown is in a log."""
  layout = Layout(column_specs(SPEC) | {f"latent/{name}": spec for name, spec in Regression.latent_spec.items()}, 4)
  blocks = (block for path in segments(folder) for block in SegmentReader(path).blocks())
  return Counter(x for block in blocks for x in layout.unpack(block)[2]["observation/x"][:, 0].tolist())


def test_two_hosts_make_one_run(tmp_path: Path):
  first, second = finish(start(2, tmp_path, env_steps=1200))
  assert counters(first) == counters(second)
  env_steps, agent_steps, updates = (int(number) for number in counters(first)[:3])
  assert env_steps == 2 * agent_steps and 1200 <= env_steps < 1200 + 2 * 8
  assert updates == 1 + 8 * (agent_steps - PREFILLED) // (REPLAY.batch_size * REPLAY.batch_length)
  rows = read_metrics(tmp_path / "metrics.jsonl")
  assert rows[-1]["env_steps"] == env_steps and rows[-1]["replay/steps"] > agent_steps
  assert rows[-1]["replay/ratio"] == pytest.approx(8, rel=0.05)
  assert [row["episode/length"] for row in rows if "episode/length" in row] == [10.0] * (agent_steps // 80)
  assert sum("eval/return" in row for row in rows) == 3
  assert all("episode/log/success" in row for row in rows if "episode/length" in row)
  assert "host 1 of 2" in second and "evaluation at" in first and "evaluation" not in second
  whole = sum(seen(log_folder(tmp_path, 0, host)).total() for host in range(2))
  assert set(seen(log_folder(tmp_path, 0, 0))).isdisjoint(seen(log_folder(tmp_path, 0, 1)))
  assert rows[-1]["replay/steps"] == whole
  assert (tmp_path / FOLDER / str(env_steps) / "host-1").is_dir()


def test_a_host_that_is_killed_ends_the_others_and_changes_nothing(tmp_path: Path):
  options = {"sync": True, "checkpoint_minutes": 0.01}
  finish(start(2, tmp_path / "whole", env_steps=2400, **options))
  killed = tmp_path / "killed"
  for victim in (1, 0):
    before = max(find_steps(killed / FOLDER), default=0)
    children = start(2, killed, env_steps=2400, **options)
    wait_for_checkpoint(killed, before, children)
    children[victim].kill()
    (told,) = finish([children[1 - victim]], status=LOST)
    assert "start all of them again with the same --logdir" in told
    children[victim].communicate()
  finish(start(2, killed, env_steps=2400, **options))
  for found, expected in zip(state_of(killed), state_of(tmp_path / "whole"), strict=True):
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("told", [0, 1])
def test_a_signal_to_one_host_lets_all_save_and_leave(tmp_path: Path, told: int):
  children = start(2, tmp_path, **ENDLESS)
  wait_for_checkpoint(tmp_path, 0, children)
  children[told].send_signal(signal.SIGTERM)
  first, second = finish(children)
  assert counters(first) == counters(second) and counters(first)[3] == "True"
  assert find_steps(tmp_path / FOLDER)[-1] == int(counters(first)[0])


def test_replays_are_dealt_out_anew_to_other_hosts(tmp_path: Path):
  finish(start(2, tmp_path, env_steps=600))
  before = seen(log_folder(tmp_path, 0, 0)) + seen(log_folder(tmp_path, 0, 1))
  assert set(before.values()) == {1}
  one = run(tmp_path, env_steps=800)
  assert one.counters.env_steps >= 800
  after = seen(log_folder(tmp_path, 1, 0))
  assert {x: after[x] for x in before} == before and set(after.values()) == {1}
  first, _ = finish(start(2, tmp_path, env_steps=1000))
  last = seen(log_folder(tmp_path, 2, 0)) + seen(log_folder(tmp_path, 2, 1))
  assert {x: last[x] for x in after} == after and set(last.values()) == {1}
  env_steps, agent_steps, updates = (int(number) for number in counters(first)[:3])
  assert env_steps >= 1000 and env_steps == 2 * agent_steps
  assert updates == pytest.approx(1 + 8 * (agent_steps - PREFILLED) / (REPLAY.batch_size * REPLAY.batch_length), abs=2)


COMMAND = shlex.split("""
  --task gym/Pendulum-v1 --size small --env-steps 900 --prefill-steps 160 --num-envs 4 --workers.count 0 --action-repeat 2
  --checkpoint-minutes 0.01 --eval-episodes 1 --eval-every 0 --video-every 0 --replay.capacity 4000 --replay.batch-size 4
  --replay.batch-length 6 --schedule.updates 1 --schedule.every 100 --schedule.first 1 --agent.world-model.dynamics.deter 8
  --agent.world-model.dynamics.hidden 8 --agent.behavior.planner.candidates 10 --agent.behavior.planner.elites 2
  --agent.behavior.planner.iterations 2 --agent.behavior.planner.horizon 3
""")


def test_the_command_line_trains_on_two_hosts_and_says_when_one_is_lost(tmp_path: Path):
  def begin() -> list[subprocess.Popen]:
    place = ["--logdir", str(tmp_path), "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    command = [sys.executable, "-m", "dreamerax", "train", "planet", *COMMAND, *place]
    environment = {**os.environ, **cpu_devices(1)}
    return [
      subprocess.Popen([*command, "--process", str(i)], cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True)
      for i in range(2)
    ]

  children = begin()
  wait_for_checkpoint(tmp_path, 0, children)
  children[1].kill()
  _, told = children[0].communicate(timeout=60)
  assert children[0].returncode == 1 and "dreamerax train: another host of this run has ended" in told
  assert "Traceback" not in told
  children[1].communicate()
  first, second = finish(begin())
  assert "continuing at" in first and "evaluation at" in first
  assert "continuing at" not in second and "host 1 of 2" in second
  assert read_metrics(tmp_path / "metrics.jsonl")[-1]["env_steps"] >= 900
