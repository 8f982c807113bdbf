"""An environment's own numbers: what is kept of them, and that they arrive from wherever it steps."""

from typing import Any

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, WorkerConfig, make_batch
from dreamerax.envs.base import EnvBatch
from dreamerax.envs.contract import Checked
from dreamerax.envs.episode_log import EpisodeLog, Logged
from dreamerax.envs.faults import Breach
from dreamerax.envs.suites.actions import random_actions
from dreamerax.envs.suites.custom import adapt
from dreamerax.envs.wrappers import ActionRepeat
from tests.envs import toys


def test_the_mean_counts_and_of_success_the_highest():
  log = EpisodeLog()
  for given in (
    {"speed": 1.0, "success": False},
    {"speed": 3, "success": True},
    {"rare": np.float32(7)},
    {"success": 0},
  ):
    log.add(given)
  log.add({"speed": float("nan"), "late": float("inf")})
  assert log.episode() == {"speed": 2, "success": 1, "rare": 7}
  assert EpisodeLog().episode() == {}


def play(env, steps: int = 3) -> list[dict]:
  action = np.zeros(env.spec.action.size)
  return [dict(step.log) for step in (env.reset(0), *(env.step(action) for _ in range(steps)))]


@pytest.mark.parametrize(
  ("made", "log"),
  [
    (toys.GymTelling, {"clock": 2.0, "success": 1.0}),
    (toys.DmTelling, {"count": 1.5}),  # of all four time steps
  ],
)
def test_logs_of_other_libraries_come_with_the_last_step_and_are_not_shown(made, log: dict):
  env = Logged(Checked(adapt(made(), 0, "telling")))
  assert not [name for name in env.spec.observation if "log" in name]
  assert play(env) == play(env) == [{}, {}, {}, log]


def test_a_replayed_episode_has_the_same_log():
  env = Logged(Checked(adapt(toys.DmTelling(), 0, "telling")))
  assert env.replay(0, np.zeros((3, 2), np.float32)).log == {"count": 1.5}
  env.replay(0, np.zeros((2, 2), np.float32))
  assert env.step(np.zeros(2)).log == {"count": 1.5}


def test_repeated_actions_count_every_step():
  env = ActionRepeat(Logged(adapt(toys.GymTelling(), 0, "telling")), 2)
  assert play(env, 2) == [{}, {}, {"clock": 2.0, "success": 1.0}]


@pytest.mark.parametrize(
  ("info", "words"), [({"log/x": "fast"}, "'log/x' is 'fast'"), ({"log/x": [1, 2]}, "'log/x' is ")]
)
def test_what_is_no_number_is_named(info: dict, words: str):
  native = toys.GymTelling()
  native.step = lambda action: (np.zeros(2, np.float32), 1.0, False, False, info)  # type: ignore[method-assign]
  env = Checked(adapt(native, 0, "telling"))
  env.reset(0)
  with pytest.raises(Breach, match=words):
    env.step(np.zeros(1))


@pytest.mark.parametrize("log", [{"x": None}, {1: 2.0}, [1.0]])
def test_a_step_with_something_else_than_numbers_is_named(log: Any):
  class Odd(toys.Telling):
    def step(self, action):
      return super().step(action)._replace(log=log)

  env = Checked(Odd(0))
  env.reset(0)
  with pytest.raises(Breach, match="log is "):
    env.step(np.zeros(2))


def logs(envs: EnvBatch, steps: int) -> list[dict]:
  rng = np.random.default_rng(0)
  found = []
  for _ in range(steps):
    row = envs.step(random_actions(envs.spec.action, rng, envs.num_envs))
    found.append({index: dict(log) for index, log in envs.ended.items()})
    assert set(found[-1]) == set(np.flatnonzero(row.is_last))
  return found


def test_worker_processes_give_the_logs_that_serial_environments_give():
  config = EnvConfig("tests.envs.toys:telling")
  serial, workers = make_batch(config, 5, 7), make_batch(config, 5, 7, WorkerConfig(2))
  try:
    serial.reset()
    workers.reset()
    expected = logs(serial, 30)
    assert logs(workers, 30) == expected and sum(map(len, expected)) > 10
    assert {name for step in expected for log in step.values() for name in log} == {"place", "success"}
    again = make_batch(config, 5, 7, WorkerConfig(2))
    rows = serial.step(np.zeros((5, 2)))
    assert not again.resume(serial.episodes(), rows).any()
    assert logs(again, 10) == logs(serial, 10)
    again.close()
  finally:
    serial.close()
    workers.close()
