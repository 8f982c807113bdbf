"""What was written is there after any crash, and what is damaged is named and costs nothing else."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamerax.replay import Replay, ReplayConfig, inspect
from dreamerax.replay.log.segment import SegmentReader, segment_path, segments
from dreamerax.types import ArraySpec, EnvSpec
from tests.replay.logged import ROW, SMALL, flip, header_bytes, held, logged, only_file, positions, written
from tests.replay.numbered import LATENTS, SPEC, fill, make

ROOT = Path(__file__).resolve().parents[3]
STREAMS = 64

_ENDLESS = f"""
import sys
from pathlib import Path
import numpy as np
from dreamerax.replay.log.writer import LogFiles
from tests.replay.logged import logged
from tests.replay.numbered import fill
replay = logged(Path(sys.argv[1]), streams={STREAMS}, capacity=20_000 * {STREAMS}, files=LogFiles(200_000))
written = replay.held[:, 1]
count = int(written[0])
# Rows of one position are written in the order of their streams, and the kill may come between two of them.
assert (np.isin(count - written, (0, 1)) & (np.diff(written, prepend=count) <= 0)).all()
fill(replay, [count + 1 - int(n) for n in written], start=written.tolist())
while True:
  count = int(replay.held[0, 1])
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
    for stream, count in enumerate(loaded.rows.tolist()):
      where = replay.rows(stream)["observation/where"]
      np.testing.assert_array_equal(where, np.stack([np.full(count, stream), np.arange(count)], -1))
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
def test_a_file_with_a_damaged_header_is_named_and_costs_its_rows(tmp_path, byte, caplog):
  written(tmp_path, [12], files=SMALL)
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


def test_rows_of_an_older_file_in_this_ones_blocks_are_not_taken_for_its_own(tmp_path):
  written(tmp_path, [8], files=SMALL)
  first, second = segments(tmp_path)
  second.write_bytes(second.read_bytes()[: -2 * ROW] + first.read_bytes()[-2 * ROW :])
  assert inspect(tmp_path)[:3] == (6, (), 2 * ROW)
  assert positions(logged(tmp_path)) == [0, 1, 2, 3, 4, 5]


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


@pytest.mark.parametrize(
  "change",
  [
    *({"record_bytes": size} for size in (0, -8, 10**14, "x", None)),
    *({"columns": columns} for columns in ([1], {"reward": [1]}, {"reward": [[10**13], "float32"]}, {"a": [[], "O"]})),
    *({"streams": streams} for streams in (0, -1, "x", 10**14)),
  ],
)
def test_a_header_that_describes_no_rows_is_damaged(change: dict[str, Any], tmp_path: Path):
  right = {"version": 1, "streams": 2, "record_bytes": 28, "columns": {"reward": [[], "float32"]}}
  path = segment_path(tmp_path, 1)
  for described, problem in ((right, None), (right | change, "its header is damaged")):
    text = json.dumps(described).encode()
    path.write_bytes(struct.pack("<8sII", b"drmxrows", len(text), zlib.crc32(text)) + text + bytes(100))
    assert SegmentReader(path).problem == problem
  assert inspect(tmp_path).rows == 0
