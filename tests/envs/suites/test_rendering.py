import os
import subprocess
import sys

import psutil
import pytest

from dreamerax import die_with_parent
from dreamerax.envs.suites import rendering


@pytest.fixture
def fresh(monkeypatch):
  """A process that has not chosen yet, and whose backends answer as told."""
  answers = {}
  monkeypatch.delenv("MUJOCO_GL", raising=False)
  monkeypatch.delitem(__import__("sys").modules, "dm_control._render", raising=False)
  monkeypatch.setattr(rendering, "probe", lambda backend: rendering.BackendProbe(backend, answers.get(backend)))
  rendering.choose.cache_clear()
  yield answers
  rendering.choose.cache_clear()


def test_egl_is_taken_first_and_left_for_dm_control_to_read(fresh):
  assert rendering.choose() == os.environ["MUJOCO_GL"] == "egl"


def test_osmesa_follows_where_egl_is_broken(fresh):
  fresh["egl"] = "no display"
  assert rendering.choose() == os.environ["MUJOCO_GL"] == "osmesa"


def test_without_any_the_answers_and_the_packages_are_named(fresh):
  fresh.update(egl="no display", osmesa="'NoneType' object has no attribute 'glGetError'")
  with pytest.raises(RuntimeError, match=r"egl: no display; osmesa: 'NoneType'.*libegl1 libgl1.*libosmesa6"):
    rendering.choose()
  assert "MUJOCO_GL" not in os.environ


def test_an_explicit_backend_is_the_only_one_tried(fresh, monkeypatch):
  monkeypatch.setenv("MUJOCO_GL", "osmesa")
  assert rendering.choose() == "osmesa"
  rendering.choose.cache_clear()
  fresh["osmesa"] = "missing"
  with pytest.raises(RuntimeError, match="unset MUJOCO_GL"):
    rendering.choose()


def test_a_broken_backend_is_an_answer_and_not_a_crash():
  assert "glow" in (rendering.probe("glow").error or "")


def test_a_probe_that_was_begun_early_is_the_one_that_counts(fresh, monkeypatch):
  begun, start = [], die_with_parent.start
  monkeypatch.setattr(die_with_parent, "start", lambda *a, **options: begun.append(a) or start(*a, **options))
  fresh["egl"] = "asked a second time"  # by `probe`, which answers as told here
  rendering.choose_soon()
  rendering.choose_soon()
  assert rendering.choose() == "egl" and len(begun) == 1


def test_osmesa_follows_where_a_probe_that_was_begun_early_fails(fresh, monkeypatch):
  start = die_with_parent.start
  failing = ("-c", "raise SystemExit('no display')")
  monkeypatch.setattr(die_with_parent, "start", lambda arguments, **options: start(failing, **options))
  rendering.choose_soon()
  assert rendering.choose() == "osmesa"


def test_a_probe_that_nobody_asks_for_ends_with_the_process():
  program = """
import psutil
from dreamerax import die_with_parent
from dreamerax.envs.suites import rendering
start = die_with_parent.start
die_with_parent.start = lambda arguments, **options: start(("-c", "import time; time.sleep(100)"), **options)
rendering.choose_soon()
(probe,) = psutil.Process().children()
print(probe.pid)
"""
  environment = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
  done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, env=environment)
  assert done.returncode == 0 and not done.stderr
  assert not psutil.pid_exists(int(done.stdout))


def test_a_working_backend_is_timed():
  probe = rendering.probe(rendering.choose(), frames=2)
  assert probe.error is None and (probe.frames_per_second or 0) > 0
