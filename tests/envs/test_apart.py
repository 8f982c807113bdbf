"""Environments that are not ours are looked at in another process, before a run begins."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial

import gymnasium
import pytest

from dreamerax.envs import EnvConfig, WorkerConfig, apart, examine, look_at, make, make_batch
from dreamerax.envs.check import Examination
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests.conftest import ROOT
from tests.envs.toys import Gallery

ROOMS = "tests.envs.rooms"


def test_what_an_environment_shows_is_known_without_making_it_here():
  before = threading.active_count()
  assert look_at(EnvConfig(f"{ROOMS}:staying")) == EnvSpec({"clock": ArraySpec((2,))}, ActionSpec(2))
  with closing(make_batch(EnvConfig(f"{ROOMS}:staying"), 2, 0, WorkerConfig(1))) as envs:
    assert envs.reset().is_first.all()
  assert "watcher of the room" not in [thread.name for thread in threading.enumerate()]
  assert threading.active_count() <= before + 1  # that which starts processes


def test_a_crash_while_it_is_looked_at_is_told():
  with pytest.raises(ValueError, match=r"it ended with signal SIGSEGV(.|\n)*rooms.py"):
    look_at(EnvConfig(f"{ROOMS}:deadly"))


@pytest.mark.parametrize(
  ("factory", "said"),
  [
    ("Leaving", r"Leaving': it raised SystemExit: 3 \(.*rooms\.py, line \d+\) while it was looked at"),
    ("Locked", r"Locked': it raised RuntimeError: locked \(.*rooms\.py, line \d+\) while it was looked at"),
    ("vanishing", "vanishing': it ended with exit status 0"),
  ],
)
def test_an_environment_that_leaves_is_told_in_a_line_with_its_task(factory: str, said: str):
  with pytest.raises(ValueError, match=said) as caught:
    look_at(EnvConfig(f"{ROOMS}:{factory}"))
  assert "\n" not in str(caught.value)


def test_a_task_of_gymnasium_is_checked_before_it_trains():
  assert look_at(EnvConfig(f"gym/{ROOMS}:Room-v0")).observation == {"image": ArraySpec((16, 16, 3), "uint8")}
  with pytest.raises(
    ValueError, match=r"Floats-v0': reset: observation 'image' is float64 .* its space says uint8"
  ) as e:
    make_batch(EnvConfig(f"gym/{ROOMS}:Floats-v0"), 2, 0)
  assert "\n" not in str(e.value)


@pytest.mark.parametrize(
  ("task", "says"),
  [
    ("gym/ALE/Pong-v5", r"gym/<module>:ALE/Pong-v5, such as gym/ale_py:ALE/Pong-v5"),
    ("gym/OnlyHere-v0", "Ids that a program registers for itself are not known to worker processes"),
    (f"gym/{ROOMS}:Furnished-v0", r"chairs.*Where it needs arguments, give them in a factory"),
    ("gym/no_such_module:Room-v0", "no_such_module"),
    ("__main__:make", "put the factory in a module"),
    ("dmc/nothing", "Did you mean|names the tasks"),
    ("nothing", "neither dmc"),
  ],
)
def test_a_task_that_cannot_be_made_is_told_in_one_line(task: str, says: str):
  gymnasium.register("OnlyHere-v0", Gallery)
  try:
    with pytest.raises(ValueError, match=says) as error:
      look_at(EnvConfig(task))
  finally:
    del gymnasium.registry["OnlyHere-v0"]
  assert "\n" not in str(error.value)


def test_what_is_odd_is_told_once(caplog):
  config = EnvConfig("tests.envs.toys:fickle")
  for _ in range(2):
    make_batch(config, 1, 0).close()
  assert caplog.text.count("begins an episode that differs") == 1


@pytest.mark.slow
def test_mujoco_draws_without_a_display_and_without_being_told_how():
  program = f"""
from contextlib import closing
from dreamerax.envs import EnvConfig, WorkerConfig, look_at, make, make_batch
config = EnvConfig("{ROOMS}:drawn")
look_at(config)
with closing(make(config, 0)) as env:
  assert env.reset().observation["image"].any()
with closing(make_batch(config, 2, 0, WorkerConfig(1))) as envs:
  assert envs.reset().observation["image"].any()
"""
  hidden = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
  environment = {name: value for name, value in os.environ.items() if name not in hidden}
  subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, timeout=120)


@pytest.mark.slow
def test_a_command_ends_although_an_environment_has_left_a_thread(tmp_path):
  options = ["--episodes", "1", "--num-envs", "1", "--workers.count", "0", "--out", str(tmp_path)]
  command = [sys.executable, "-m", "dreamerax", "record", "--task", f"{ROOMS}:staying", *options]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
  assert done.returncode == 0 and "1 episode more" in done.stdout
  assert "watcher of the room" in done.stderr


def test_an_environment_is_made_in_this_process_where_it_steps_here():
  with closing(make(EnvConfig(f"gym/{ROOMS}:Room-v0"), 0)) as env:
    assert env.reset().is_first


@pytest.mark.parametrize("check", [look_at, partial(examine, steps=20, seed=0)])
@pytest.mark.parametrize(
  ("toy", "problem"),
  [
    ("killed", r"it ended with signal SIGSEGV \(File \".*toys.py\", line \d+ in killed\)"),
    ("gone", "it ended with exit status 3"),
    ("endless", r"no answer for 4 seconds \(File \".*toys.py\", line \d+ in endless\)"),
    ("gone_later", "it ended with exit status 4"),
  ],
)
def test_what_takes_its_process_with_it_is_told_in_one_line(check, toy: str, problem: str, monkeypatch):
  monkeypatch.setattr(apart, "START_SECONDS", 4.0 if toy == "endless" else 60.0)
  with pytest.raises(ValueError, match=f"task='tests.envs.toys:{toy}': .*{problem}") as error:
    check(EnvConfig(f"tests.envs.toys:{toy}"))
  assert "\n" not in str(error.value)


def test_an_examination_tells_all_that_one_in_this_process_does():
  report = examine(EnvConfig("tests.envs.toys:fickle"), steps=30, seed=0)
  factory = partial(make, EnvConfig("tests.envs.toys:fickle"), checked=False)
  with closing(factory(0)) as env:
    examination = Examination(env, factory=factory, steps=30)
    violations = list(examination.violations())
    assert report.spec == env.spec and report.violations == violations and violations
  assert report.met is not None and report.met.steps == examination.met.steps
