"""What was written is there after any crash, and what is damaged is named and costs nothing else."""

import errno
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dreamerax.replay import Replay, ReplayConfig, inspect, log
from dreamerax.replay.segment import SegmentReader, segments
from dreamerax.types import ArraySpec, EnvSpec
from tests.replay.logged import ROW, flip, header_bytes, held, logged, only_file, positions, written
from tests.replay.numbered import LATENTS, SPEC, fill, make

ROOT = Path(__file__).resolve().parents[2]
STREAMS = 64

_ENDLESS = f"""
import sys
from pathlib import Path
from dreamerax.replay import log
from tests.replay.logged import logged
from tests.replay.numbered import fill
log._SEGMENT_BYTES = 200_000
replay = logged(Path(sys.argv[1]), streams={STREAMS}, capacity=20_000 * {STREAMS})
count = int(replay._ring.written[0])
assert (replay._ring.written >= count).all()
fill(replay, [count + 1 - int(n) for n in replay._ring.written], start=replay._ring.written.tolist())
while True:
  count = int(replay._ring.written[0])
  print(count, flush=True)
  fill(replay, [1] * {STREAMS}, start=[count] * {STREAMS})
  if count % 50 == 0:
    replay.commit_log()
"""


def test_what_was_written_survives_kill_9_at_any_moment(tmp_path):
  rng = random.Random(0)
  acknowledged = 0
  for _ in range(12):
    child = subprocess.Popen([sys.executable, "-c", _ENDLESS, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    first = int(child.stdout.readline())
    assert first >= acknowledged, "the next run found less than the last one had written"
    time.sleep(rng.uniform(0, 0.03))
    child.send_signal(signal.SIGKILL)
    lines = [line for line in child.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    acknowledged = int(lines[-1]) if lines else first
    replay = make(STREAMS, capacity=20_000 * STREAMS)
    # Reading alone: the next run must still find the half-written row.
    report = inspect(tmp_path)
    copy = tmp_path.with_name("copy")
    copy.mkdir()
    for path in segments(tmp_path):
      (copy / path.name).write_bytes(path.read_bytes())
    loaded = replay.open_log(copy, None, lambda line: None)
    assert report.corrupt == ()
    assert loaded.complete
    assert report.rows == loaded.steps
    assert (loaded.rows >= acknowledged).all() and (loaded.rows <= acknowledged + 1).all()
    where = replay._ring.columns["observation/where"]
    for stream, count in enumerate(loaded.rows.tolist()):
      np.testing.assert_array_equal(where[stream, :count, 0], stream)
      np.testing.assert_array_equal(where[stream, :count, 1], np.arange(count))
    for path in segments(copy):
      path.unlink()
    copy.rmdir()
  assert len(segments(tmp_path)) > 12


@pytest.mark.parametrize("missing", range(1, ROW + 1))
def test_a_torn_tail_of_any_length_is_cut(tmp_path, missing, caplog):
  written(tmp_path, [3])
  path = only_file(tmp_path)
  whole = path.stat().st_size
  os.truncate(path, whole - missing)
  assert inspect(tmp_path) == ((2, (), ROW - missing, whole - missing, 1))
  replay = logged(tmp_path)
  assert positions(replay) == [0, 1]
  assert path.stat().st_size == whole - ROW
  fill(replay, [1], start=[2])
  replay.close_log()
  assert positions(logged(tmp_path)) == [0, 1, 2]
  assert caplog.records == []


def test_a_last_record_that_was_not_written_through_is_cut(tmp_path):
  written(tmp_path, [5])
  path = only_file(tmp_path)
  path.write_bytes(path.read_bytes()[: -2 * ROW - 5] + bytes(2 * ROW + 5))  # the end of row 2, and rows 3 and 4
  assert inspect(tmp_path).torn_bytes == 3 * ROW
  assert positions(logged(tmp_path)) == [0, 1]
  assert inspect(tmp_path) == (2, (), 0, path.stat().st_size, 1)


@pytest.mark.parametrize("kept", [0, 1, 15, 16, 17, 100])
def test_a_file_that_died_before_its_header_was_whole_is_no_damage(tmp_path, kept, caplog):
  written(tmp_path, [3])
  (tmp_path / "00000002.rows").write_bytes(only_file(tmp_path).read_bytes()[:kept])
  assert inspect(tmp_path)[:3] == (3, (), kept)
  replay = logged(tmp_path)
  assert positions(replay) == [0, 1, 2]
  fill(replay, [1], start=[3])
  replay.close_log()
  assert positions(logged(tmp_path)) == [0, 1, 2, 3]
  assert caplog.records == []


@pytest.mark.parametrize("byte", [0, 4, 8, 12, 16, 23, 24, 50, ROW - 1])
def test_a_flipped_byte_is_named_and_costs_one_row(tmp_path, byte, caplog):
  written(tmp_path, [4, 4])
  path = only_file(tmp_path)
  flip(path, header_bytes(path) + 2 * ROW + byte)  # position 1 of stream 0
  before = path.read_bytes()
  (name,) = inspect(tmp_path).corrupt
  assert str(path) in name and "record 2" in name
  # Flipped are the mark, the checksum, the file's number, stream, position (two of its bytes) and the row.
  says = {0: "unreadable", 12: "stream 16, position 1", 16: "stream 0, position 17", 23: "position 1152921504606846977"}
  assert says.get(byte, "stream 0, position 1") in name
  assert path.read_bytes() == before
  replay = make(2)
  loaded = replay.open_log(tmp_path, None, lambda line: None)
  assert (loaded.rows.tolist(), loaded.skipped, loaded.missing, loaded.complete) == ([4, 4], 1, 1, False)
  assert positions(replay, 1) == [0, 1, 2, 3]
  assert positions(replay, 0) == [0, 2, 3]
  assert name in caplog.text


@pytest.mark.parametrize("byte", [0, 8, 12, 16, 60])
def test_a_file_with_a_damaged_header_is_named_and_costs_its_rows(tmp_path, byte, caplog, monkeypatch):
  monkeypatch.setattr(log, "_SEGMENT_BYTES", 4 * ROW)
  written(tmp_path, [12])
  assert len(segments(tmp_path)) == 3
  second = segments(tmp_path)[1]
  flip(second, byte)
  report = inspect(tmp_path)
  assert report.rows == 8
  assert len(report.corrupt) == 1 and str(second) in report.corrupt[0]
  replay = logged(tmp_path)
  assert positions(replay) == [8, 9, 10, 11]  # four of twelve rows are too many to fill
  assert str(second) in caplog.text and "header is damaged" in caplog.text
  assert second.exists()


def test_rows_of_an_older_file_in_this_ones_blocks_are_not_taken_for_its_own(tmp_path, monkeypatch):
  monkeypatch.setattr(log, "_SEGMENT_BYTES", 4 * ROW)
  written(tmp_path, [8])
  first, second = segments(tmp_path)
  second.write_bytes(second.read_bytes()[: -2 * ROW] + first.read_bytes()[-2 * ROW :])
  assert inspect(tmp_path)[:3] == (6, (), 2 * ROW)
  assert positions(logged(tmp_path)) == [0, 1, 2, 3, 4, 5]


def test_files_that_memory_has_overwritten_go(tmp_path, monkeypatch):
  monkeypatch.setattr(log, "_SEGMENT_BYTES", 4 * ROW)
  replay = logged(tmp_path)
  for count in range(100):
    fill(replay, [1], start=[count])
    if count % 10 == 0:
      replay.commit_log()
  # Twelve rows for each of the commits at 80 and 90, so rows from 69 on; four rows in a file.
  assert [path.stem for path in segments(tmp_path)] == [f"{n:08d}" for n in range(69 // 4 + 1, 26)]
  replay.close_log()
  assert positions(logged(tmp_path)) == list(range(88, 100))


def test_before_the_first_commit_only_what_memory_holds_is_kept(tmp_path, monkeypatch):
  monkeypatch.setattr(log, "_SEGMENT_BYTES", 4 * ROW)
  fill(logged(tmp_path), [41])
  assert [path.stem for path in segments(tmp_path)] == [f"{n:08d}" for n in range(8, 12)]  # rows from 28 on


def test_both_of_the_last_two_ends_can_be_restored(tmp_path, monkeypatch):
  monkeypatch.setattr(log, "_SEGMENT_BYTES", 4 * ROW)
  replay = logged(tmp_path)
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
  assert replay._ring.written.tolist() == [200, 200]
  first = 200 - int(loaded.rows[0])
  assert first > 0 and positions(replay, 0) == list(range(first, 200))


def test_a_commit_waits_for_every_file_since_the_last_one_that_is_still_there(tmp_path, monkeypatch, caplog):
  synced = []
  for name in ("fsync", "fdatasync"):
    call = getattr(os, name)
    record = lambda fd, call=call: (synced.append(Path(os.readlink(f"/proc/self/fd/{fd}"))), call(fd))  # noqa: E731
    monkeypatch.setattr(os, name, record)
  monkeypatch.setattr(log, "_SEGMENT_BYTES", 4 * ROW)
  replay = logged(tmp_path)
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
  monkeypatch.setattr(log, "_RETRY_ROWS", 2)
  replay = logged(tmp_path)
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
from dreamerax.replay import log
from tests.replay.logged import header_bytes, logged
from tests.replay.numbered import fill
log._RETRY_ROWS = 2
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
replay = logged(Path(sys.argv[1]), capacity=1000)
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


def test_other_columns_or_streams_are_refused_and_nothing_is_changed(tmp_path):
  end = written(tmp_path, [3, 3])
  before = only_file(tmp_path).read_bytes()
  config = ReplayConfig(capacity=24, batch_size=4, batch_length=3)
  spec = EnvSpec({**SPEC.observation, "pixels": ArraySpec((4, 2, 3), "uint8")}, SPEC.action)
  latents = {**LATENTS, "deter": ArraySpec((3,), "float16")}
  cases = [
    (Replay(spec, LATENTS, config=config, streams=2, seed=0), r"observation/pixels is uint8 \(2, 2, 3\) .*\(4, 2, 3\)"),
    (Replay(SPEC, latents, config=config, streams=2, seed=0), r"latent/deter is float32 \(3,\) .*float16 \(3,\)"),
    (make(2, context=0), r"latent/deter is float32 \(3,\) .*absent"),
    (make(3), r"streams=2, and this run has 3 \(environments\).*--logdir"),
  ]
  for replay, message in cases:
    for position in (None, {}, end):
      with pytest.raises(ValueError, match=message):
        replay.open_log(tmp_path, position, pytest.fail)
  assert only_file(tmp_path).read_bytes() == before


def test_the_order_of_observations_does_not_matter(tmp_path):
  written(tmp_path, [3])
  spec = EnvSpec(dict(reversed(list(SPEC.observation.items()))), SPEC.action)
  replay = Replay(spec, LATENTS, config=ReplayConfig(capacity=12, batch_size=4, batch_length=3), streams=1, seed=0)
  replay.open_log(tmp_path, None, lambda line: None)
  assert positions(replay) == [0, 1, 2]
  assert (held(replay)[2]["observation/pixels"] == 2).all()


def test_nothing_but_plain_files_of_rows_is_loaded(tmp_path):
  folder, elsewhere = tmp_path / "log", tmp_path / "elsewhere"
  written(folder, [3])
  written(elsewhere, [6])
  link = folder / "00000002.rows"
  link.symlink_to(only_file(elsewhere))
  os.mkfifo(folder / "00000003.rows")
  (folder / "00000004.rows").write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")  # a pickle
  np.save(folder / "rows.npy", np.array([{}], object), allow_pickle=True)
  before = only_file(elsewhere).read_bytes()
  report = inspect(folder)
  assert report.rows == 3 and len(report.corrupt) == 3
  replay = logged(folder)
  assert positions(replay) == [0, 1, 2]
  assert only_file(elsewhere).read_bytes() == before


def test_a_log_is_opened_once_and_first(tmp_path):
  replay = make()
  fill(replay, [1])
  with pytest.raises(RuntimeError, match="before the first row"):
    replay.open_log(tmp_path, None, pytest.fail)
  with pytest.raises(RuntimeError, match="once"):
    logged(tmp_path).open_log(tmp_path, None, pytest.fail)
  with pytest.raises(FileNotFoundError, match="no log"):
    inspect(tmp_path / "absent")


def test_what_a_reader_says_of_its_file(tmp_path):
  written(tmp_path, [3])
  reader = SegmentReader(only_file(tmp_path))
  assert reader.header is not None
  assert reader.header.record_bytes == ROW
  assert reader.header.described["columns"]["observation/where"] == [[2], "int32"]
  assert sum(len(block) for block in reader.blocks()) == 3
  assert reader.nbytes == reader.header.nbytes + 3 * ROW
