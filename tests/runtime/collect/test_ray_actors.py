"""The same on a Ray of this machine alone, in processes that can be killed."""

import itertools
import threading
import time
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from dreamerax.ray_connection import LOCAL, connect
from dreamerax.replay import inspect
from dreamerax.runtime.collect.ray_actors import RayActors
from dreamerax.runtime.collect.rollout_worker import StepperSetup
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.conftest import error_without_ray, run_apart
from tests.runtime.toys import Regression, make_envs, run

SETUP = StepperSetup(Regression, make_envs, {"memory": "float32"})


def actor_processes() -> list[psutil.Process]:
  return [child for child in psutil.Process().children(recursive=True) if "ray::Stepper" in " ".join(child.cmdline())]


def check(folder: Path) -> None:
  """In a process of its own, as Ray reads its settings when it is imported."""
  killed: list[int] = []
  listening: set[str] = set()

  def kill_one() -> None:
    while not any("train/loss/reward" in row for row in lines(folder)):
      time.sleep(0.05)
    children = psutil.Process().children(recursive=True)
    connections = [each for child in children for each in child.net_connections()]
    listening.update(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)
    victim = actor_processes()[0]
    victim.kill()
    killed.append(victim.pid)

  thread = threading.Thread(target=kill_one)
  thread.start()
  remote = partial(RayActors, connect(LOCAL, "--ray-address"), SETUP, 2, 60.0)
  result = run(folder, remote=remote, env_steps=8000, log_every=0.2, eval_every=0)
  thread.join()
  assert listening and listening <= {"127.0.0.1", "::ffff:127.0.0.1"}, listening
  assert len(killed) == 1 and not actor_processes()
  assert result.evaluation is not None and result.evaluation.returns.mean() > 9.8
  rows = lines(folder)
  assert [row["envs/faults"] for row in rows if "envs/faults" in row][-1] == 1
  # What is in the replay is what was counted, and a closing row and reset for each of its two episodes at most.
  held = inspect(folder / "replay").rows
  resets = held - result.counters.agent_steps
  episodes = len([row for row in rows if "episode/length" in row])
  assert {row["episode/length"] for row in rows if "episode/length" in row} == {10.0}
  assert episodes <= resets <= episodes + 4 + 2 * 2


def lines(folder: Path) -> list[dict]:
  path = folder / "metrics.jsonl"
  return read_metrics(path) if path.exists() else []


@pytest.mark.slow
def test_a_killed_actor_costs_its_unfinished_episodes_alone_and_nothing_listens_beyond_loopback(tmp_path: Path):
  program = (
    "from pathlib import Path; from tests.runtime.collect import test_ray_actors as t; "
    f"t.check(Path({str(tmp_path)!r}))"
  )
  run_apart(program, timeout=600)


class _HastyRay:
  """Answers are numbered; the newest of those that are waited for is there first."""

  exceptions = SimpleNamespace(RayError=RuntimeError)

  def __init__(self):
    self._numbers = itertools.count()

  def remote(self, **_: object) -> Any:
    collect = SimpleNamespace(remote=lambda params, random: next(self._numbers))
    spec = SimpleNamespace(remote=lambda: None)
    return lambda cls: SimpleNamespace(remote=lambda *args: SimpleNamespace(collect=collect, spec=spec))

  def wait(self, answers: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
    return answers[-num_returns:], answers[:-num_returns]

  def get(self, answer: int) -> int:
    return answer

  def cluster_resources(self) -> dict[str, int]:
    return {"CPU": 1}


def test_an_actor_s_chunks_come_in_the_order_in_which_they_were_made():
  actors = RayActors(cast(ModuleType, _HastyRay()), SETUP, 1, 60.0, 2, 0)
  actors.ask(0, random=False)
  actors.ask(0, random=False)
  assert [actors.receive(), actors.receive()] == [(0, 0), (0, 1)]


def test_without_ray_the_extra_is_named(tmp_path: Path):
  program = "from dreamerax.ray_connection import connect; connect('local', '--ray-address')"
  error = error_without_ray(program, tmp_path)
  assert "ValueError: --ray-address local needs Ray: pip install 'dreamerax[ray]'" in error
