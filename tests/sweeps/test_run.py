"""What becomes of the trials of a sweep, with processes that pretend to train."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.run_lock import RunLock, holder
from dreamerax.sweeps.manifest import FILE, Manifest
from dreamerax.sweeps.pool import OneByOne
from dreamerax.sweeps.process import Attempt
from tests.sweeps.pretended import TOTAL, attempts, make_job, sweep


def wait_for(path: Path) -> None:
  deadline = time.monotonic() + 20
  while not path.exists():
    assert time.monotonic() < deadline
    time.sleep(0.01)


def test_every_end_of_a_trial(tmp_path: Path):
  faults = {"whole": "", "crashes": "once", "hopeless": "always", "mistaken": "refuse", "preempted": "leave"}
  manifest = sweep(tmp_path, faults, OneByOne(), retries=2)
  assert {name: (record.state, record.attempts) for name, record in manifest.items()} == {
    "whole": ("finished", 1),
    "crashes": ("finished", 2),
    "hopeless": ("failed", 3),
    "mistaken": ("failed", 1),
    "preempted": ("finished", 2),
  }
  assert manifest["mistaken"].reason == "dreamerax train: num_envs=0 must be at least 1"
  assert manifest["hopeless"].reason == "killed by SIGKILL"
  for name in ("whole", "crashes", "preempted"):
    record = manifest[name]
    assert (record.env_steps, record.eval_return, record.reason) == (TOTAL, 10.0 * TOTAL, "")
    assert record.began <= record.ended and record.seconds > 0
    lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["env_steps"] for line in lines] == list(range(1, TOTAL + 1))  # it went on, not anew
  said = (tmp_path / "said").read_text()
  assert "mistaken: failed, dreamerax train: num_envs=0 must be at least 1" in said
  assert f"crashes: finished (attempt 2), {TOTAL}/{TOTAL} env steps, return {10 * TOTAL}.0" in said
  assert said.endswith("trials: 3 finished, 0 running, 2 failed, 0 waiting\n")


def test_started_again_a_sweep_skips_what_has_finished_and_tries_what_has_failed(tmp_path: Path):
  sweep(tmp_path, {"whole": "", "crashes": "once"}, OneByOne(), retries=0)
  before = Manifest.load(tmp_path)
  assert [before["whole"].state, before["crashes"].state] == ["finished", "failed"]
  after = sweep(tmp_path, {"whole": "", "crashes": "once", "added": ""}, OneByOne(), retries=0)
  assert after["whole"] == before["whole"] and len(attempts(tmp_path, "whole")) == 1
  assert (after["crashes"].state, after["crashes"].attempts, after["crashes"].began) == (
    "finished",
    2,
    before["crashes"].began,
  )
  assert after["crashes"].seconds > before["crashes"].seconds
  assert after["added"].state == "finished"


def test_other_arguments_take_a_finished_trial_up_again(tmp_path: Path):
  sweep(tmp_path, {"trial": ""}, OneByOne())
  assert sweep(tmp_path, {"trial": "other"}, OneByOne())["trial"].attempts == 2


def test_stopped_a_sweep_lets_what_runs_save_and_leaves_the_rest(tmp_path: Path):
  stop = StopSignals()

  def ask():
    wait_for(tmp_path / "saves" / "metrics.jsonl")
    stop.requested = True

  threading.Thread(target=ask).start()
  manifest = sweep(tmp_path, {"saves": "wait", "later": ""}, OneByOne(), retries=0, stop=stop)
  assert (manifest["saves"].state, manifest["later"].state) == ("waiting", "waiting")
  assert manifest["saves"].reason == "saved and left before its end" and not attempts(tmp_path, "later")
  assert not holder(tmp_path / "saves")
  manifest = sweep(tmp_path, {"saves": "wait", "later": ""}, OneByOne())
  assert (manifest["saves"].state, manifest["later"].state) == ("finished", "finished")


def test_a_sweep_that_is_killed_takes_its_trial_along(tmp_path: Path):
  (tmp_path / "trial").mkdir()
  program = f"""
from pathlib import Path
from dreamerax.sweeps.pool import OneByOne
from tests.sweeps.pretended import sweep
sweep(Path({str(tmp_path)!r}), {{"trial": "hang"}}, OneByOne())
"""
  owner = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
  wait_for(tmp_path / "trial" / "metrics.jsonl")
  assert Manifest.load(tmp_path)["trial"].state == "running"
  owner.kill()
  owner.wait()
  deadline = time.monotonic() + 20
  while holder(tmp_path / "trial"):
    assert time.monotonic() < deadline
    time.sleep(0.01)
  (pid,) = attempts(tmp_path, "trial")
  assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
  assert sweep(tmp_path, {"trial": ""}, OneByOne())["trial"].state == "finished"


def test_a_manifest_that_cannot_be_written_ends_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  save, failures = Manifest.save, iter([OSError("No space left on device")] * 2)

  def full_at_first(manifest: Manifest) -> None:
    if attempts(tmp_path, "trial") and (error := next(failures, None)):
      raise error
    save(manifest)

  monkeypatch.setattr(Manifest, "save", full_at_first)
  sweep(tmp_path, {"trial": "once"}, OneByOne())
  assert Manifest.load(tmp_path)["trial"].state == "finished" and len(attempts(tmp_path, "trial")) == 2
  assert "the manifest cannot be written (No space left on device)" in (tmp_path / "said").read_text()


def test_a_directory_in_use_is_no_mistake_of_the_user(tmp_path: Path):
  with RunLock(tmp_path / "trial"):
    manifest = sweep(tmp_path, {"trial": ""}, OneByOne(lock_seconds=0.2), retries=1)
  record = manifest["trial"]
  assert record.state == "failed" and record.reason.startswith("its directory is in use by process")
  assert not attempts(tmp_path, "trial")


def test_signals_of_the_terminal_do_not_reach_an_attempt(tmp_path: Path):
  attempt = Attempt(make_job(tmp_path, "trial", "wait"))
  wait_for(tmp_path / "trial" / "metrics.jsonl")
  (pid,) = attempts(tmp_path, "trial")
  assert os.getsid(pid) != os.getsid(0)
  assert attempt.poll() is None
  attempt.kill()
  assert attempt.poll() == ("trial", "crashed", "killed by SIGKILL")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"trials": 3}', '{"trials": {"a": {"state": "asleep"}}}'])
def test_a_file_that_is_no_manifest_is_named_and_left_alone(tmp_path: Path, text: str):
  (tmp_path / FILE).write_text(text)
  with pytest.raises(ValueError, match=r"manifest\.json is not the manifest of a sweep"):
    Manifest.load(tmp_path)
  assert (tmp_path / FILE).read_text() == text
