"""The log stays within its budget, keeps what a restart needs, and outlives a full disk."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamerax.replay import ReplayConfig, inspect
from dreamerax.replay.log.segment import segments
from dreamerax.replay.log.writer import LogFiles
from tests.replay.logged import ROW, SMALL, logged, positions, written
from tests.replay.numbered import fill, make

ROOT = Path(__file__).resolve().parents[2]


def test_files_that_memory_has_overwritten_go(tmp_path):
  replay = logged(tmp_path, files=SMALL)
  for count in range(100):
    fill(replay, [1], start=[count])
    if count % 10 == 0:
      replay.commit_log()
  # Twelve rows for each of the commits at 80 and 90, so rows from 69 on; four rows in a file.
  assert [path.stem for path in segments(tmp_path)] == [f"{n:08d}" for n in range(69 // 4 + 1, 26)]
  replay.close_log()
  assert positions(logged(tmp_path)) == list(range(88, 100))


def test_the_end_that_a_run_began_at_can_be_restored_again(tmp_path):
  end = written(tmp_path, [40], files=SMALL)
  for _ in range(2):  # runs that die before their first checkpoint
    replay = make()
    assert replay.open_log(tmp_path, end, lambda line: None, files=SMALL).complete
    assert positions(replay) == list(range(28, 40))
    fill(replay, [30], start=[40])
    replay.close_log()


def test_before_the_first_commit_only_what_memory_holds_is_kept(tmp_path):
  fill(logged(tmp_path, files=SMALL), [41])
  assert [path.stem for path in segments(tmp_path)] == [f"{n:08d}" for n in range(8, 12)]  # rows from 28 on


def test_both_of_the_last_two_ends_can_be_restored(tmp_path):
  replay = logged(tmp_path, files=SMALL)
  ends = []
  for count in range(0, 100, 10):
    fill(replay, [10], start=[count])
    ends.append(replay.commit_log())
    replay.commit_log()  # with nothing new: not another one
  replay.close_log()
  for end, count in zip(ends[-1:-3:-1], (100, 90), strict=True):
    replay = make()
    assert replay.open_log(tmp_path, json.loads(json.dumps(end)), lambda line: None).complete
    assert positions(replay) == list(range(count - 12, count))
    replay.close_log()


def test_the_budget_bounds_the_files_and_loss_is_said_once(tmp_path, caplog):
  with pytest.raises(ValueError, match=r"replay\.max_disk_bytes=500 .*at least \d+, or to 0"):
    make(2, max_disk_bytes=500)
  with pytest.raises(ValueError, match=r"replay\.max_disk_bytes=-1"):
    ReplayConfig(max_disk_bytes=-1)
  budget = 6000
  replay = logged(tmp_path, streams=2, capacity=1000, max_disk_bytes=budget)
  most = 0
  for count in range(200):
    fill(replay, [1, 1], start=[count, count])
    most = max(most, inspect(tmp_path).bytes)
  assert budget / 2 < most <= budget
  assert [record.levelno for record in caplog.records] == [logging.WARNING]
  assert "replay.max_disk_bytes=6000" in caplog.text
  replay.close_log()
  replay = make(2, capacity=1000)
  loaded = replay.open_log(tmp_path, None, lambda line: None)
  assert not loaded.complete
  assert replay.held[:, 1].tolist() == [200, 200]
  first = 200 - int(loaded.rows[0])
  assert first > 0 and positions(replay, 0) == list(range(first, 200))


def test_a_commit_waits_for_every_file_since_the_last_one_that_is_still_there(tmp_path, monkeypatch, caplog):
  synced = []
  for name in ("fsync", "fdatasync"):
    call = getattr(os, name)
    record = lambda fd, call=call: (synced.append(Path(os.readlink(f"/proc/self/fd/{fd}"))), call(fd))  # noqa: E731
    monkeypatch.setattr(os, name, record)
  replay = logged(tmp_path, files=SMALL)
  fill(replay, [40])
  replay.commit_log()
  assert {*synced} >= {*segments(tmp_path), tmp_path} and len(synced) == len({*synced}) > 3
  synced.clear()
  replay.commit_log()
  assert synced == [segments(tmp_path)[-1], tmp_path]
  assert caplog.records == []


def test_no_disk_at_all(tmp_path):
  replay = make(max_disk_bytes=0)
  replay.open_log(tmp_path / "log", None, pytest.fail)
  fill(replay, [5])
  assert replay.commit_log() == {}
  assert not (tmp_path / "log").exists()
  # A run that was not logged, and is continued with a log, begins an empty one.
  written(tmp_path, [3])
  assert logged(tmp_path, {}).steps == 0
  assert segments(tmp_path) == []


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch, caplog):
  pwrite, space = os.pwrite, [10**9]

  def limited(descriptor, data, offset):
    count = min(space[0], len(data))
    if count == 0:
      raise OSError(errno.ENOSPC, "No space left on device")
    space[0] -= count
    return pwrite(descriptor, data[:count], offset)

  monkeypatch.setattr(os, "pwrite", limited)
  replay = logged(tmp_path, files=LogFiles(retry_rows=2))
  fill(replay, [3])
  space[0] = ROW + ROW // 2  # row 3, half of row 4
  fill(replay, [4], start=[3])
  assert inspect(tmp_path)[:3] == (4, (), 0)
  assert replay.steps == 7
  space[0] = 10**9
  fill(replay, [3], start=[7])
  replay.commit_log()
  replay.close_log()
  assert len(caplog.records) == 1 and "No space left" in caplog.text and str(tmp_path) in caplog.text
  replay = make()
  loaded = replay.open_log(tmp_path, None, lambda line: None)
  kept = positions(replay)
  assert kept == [0, 1, 2, 3, 7, 8, 9], kept
  assert (loaded.skipped, loaded.missing, loaded.complete) == (0, 3, False)


_LIMITED = f"""
import os, resource, signal, sys
from pathlib import Path
from dreamerax.replay.log.writer import LogFiles
from tests.replay.logged import header_bytes, logged
from tests.replay.numbered import fill
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
replay = logged(Path(sys.argv[1]), capacity=1000, files=LogFiles(retry_rows=2))
fill(replay, [1])
size = header_bytes(Path(sys.argv[1]) / "00000001.rows")
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10 * {ROW} + 5, resource.RLIM_INFINITY))
fill(replay, [100], start=[1])
replay.commit_log()
"""


def test_a_write_that_the_kernel_refuses_leaves_whole_records(tmp_path):
  child = subprocess.run([sys.executable, "-c", _LIMITED, tmp_path], cwd=ROOT, capture_output=True, text=True)
  assert child.returncode == 0, child.stderr
  assert child.stderr.count("training goes on") == 1
  report = inspect(tmp_path)
  assert (report.corrupt, report.torn_bytes) == ((), 0)
  # Files of ten rows, and the eleventh and the two after it lost.
  expected = [position for position in range(101) if position % 13 < 10]
  assert report.rows == len(expected)
  assert positions(logged(tmp_path, capacity=1000)) == expected
