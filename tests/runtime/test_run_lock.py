"""A run directory has one trainer at a time, and a process that is gone is no obstacle."""

import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dreamerax.runtime.run_lock import RunLock, holder

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import sys; from pathlib import Path; from dreamerax.runtime.run_lock import RunLock\n"
HOLD += "with RunLock(Path(sys.argv[1])):\n  print('held', flush=True)\n  sys.stdin.read()"


def test_a_second_trainer_is_refused_until_the_first_is_killed(tmp_path: Path):
  logdir = tmp_path / "runs" / "one"
  with subprocess.Popen(
    [sys.executable, "-c", HOLD, logdir], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
  ) as first:
    assert first.stdout is not None and first.stdout.readline() == b"held\n"
    row = json.loads((logdir / "lock").read_text())
    assert row["pid"] == first.pid and row["host"] == socket.gethostname()
    message = rf"in use by process {first.pid} on {row['host']} \(since 2.*\): stop it, or choose another --logdir"
    with pytest.raises(ValueError, match=message), RunLock(logdir):
      pass
    assert json.loads((logdir / "lock").read_text()) == row
    first.kill()
  with RunLock(logdir):
    assert json.loads((logdir / "lock").read_text())["pid"] == os.getpid()


def test_the_lock_ends_with_its_block_and_is_not_inherited_by_programs(tmp_path: Path):
  with RunLock(tmp_path):
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    with pytest.raises(ValueError, match=f"process {os.getpid()} "), RunLock(tmp_path):
      pass
  try:
    with RunLock(tmp_path):
      pass
  finally:
    child.kill()
    child.wait()


def test_where_nothing_was_written_nothing_is_left(tmp_path: Path):
  """A run that is refused has begun a folder of checkpoints."""
  (tmp_path / "notes.txt").touch()
  for logdir in (tmp_path, tmp_path / "runs" / "new"):
    with pytest.raises(ValueError, match="too large"), RunLock(logdir):
      (logdir / "checkpoints").mkdir()
      with pytest.raises(ValueError, match="in use"), RunLock(logdir):
        pass
      assert holder(logdir) and (logdir / "checkpoints").exists()
      raise ValueError("too large")
    assert os.listdir(tmp_path) == ["notes.txt"]
  for name in ("config.json", "checkpoints/10/x"):
    with RunLock(tmp_path / "run"):
      (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / "run" / name).touch()
    assert (tmp_path / "run" / "lock").exists() and (tmp_path / "run" / name).exists()
    shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b'{"pid": 1, "host": "gone", "since": "2000"}\n' * 9])
def test_what_a_dead_process_left_in_the_file_is_no_obstacle(tmp_path: Path, left: bytes):
  (tmp_path / "lock").write_bytes(left)
  with RunLock(tmp_path):
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    (tmp_path / "lock").write_bytes(left[:2])  # as if the holder had not written yet
    with pytest.raises(ValueError, match="in use by another process: stop it"), RunLock(tmp_path):
      pass


def test_a_logdir_that_cannot_be_is_named(tmp_path: Path):
  file = tmp_path / "file"
  file.touch()
  cases = {
    file: "is a file: move it away",
    file / "run": "cannot be written: Not a directory",
    Path("/proc/run"): "cannot be written: No such file or directory",
    Path("/proc"): "cannot be written: ",
  }
  for logdir, message in cases.items():
    with pytest.raises(ValueError, match=f"logdir={logdir} {message}.* choose another --logdir"), RunLock(logdir):
      pass


def test_the_lock_holds_when_its_file_is_removed(tmp_path: Path):
  with RunLock(tmp_path):
    (tmp_path / "lock").unlink()
    assert holder(tmp_path) == "another process"
    with pytest.raises(ValueError, match="is in use by another process: stop it"), RunLock(tmp_path):
      pass
  assert holder(tmp_path) is None


def test_a_lock_that_leads_elsewhere_is_refused_by_name(tmp_path: Path):
  (tmp_path / "mine").write_text("kept")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "lock").symlink_to(tmp_path / "mine")
  with pytest.raises(ValueError, match="run/lock is a symbolic link"), RunLock(tmp_path / "run"):
    pass
  assert (tmp_path / "mine").read_text() == "kept"
  (tmp_path / "taken" / "lock").mkdir(parents=True)
  with pytest.raises(ValueError, match="taken/lock is a directory"), RunLock(tmp_path / "taken"):
    pass


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  def flock(file: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", flock)
  told: list[str] = []
  with RunLock(tmp_path, told.append):
    assert (tmp_path / "lock").exists()
  (line,) = told
  assert str(tmp_path) in line and "without locks" in line
