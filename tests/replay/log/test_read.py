"""Looking into a log that may be written meanwhile."""

from pathlib import Path

import numpy as np
import pytest

from dreamerax.replay.log.read import read_sequence
from tests.replay.logged import ROW, flip, header_bytes, logged, only_file, written
from tests.replay.numbered import fill


def rows(sequence) -> list[list[int]]:
  """[stream, position] of each step, as its content has it."""
  return sequence.steps.observation["where"].tolist()


def test_an_excerpt_is_consecutive_steps_of_one_stream(tmp_path: Path):
  written(tmp_path, [10, 10], capacity=40)
  oldest, newest, middle = (read_sequence(tmp_path, where, 4) for where in (0.0, 1.0, 0.5))
  assert rows(oldest) == [[0, position] for position in range(4)]
  assert rows(newest) == [[0, position] for position in range(6, 10)]
  assert rows(middle) == [[0, position] for position in range(5, 9)]
  assert (middle.stream, middle.position) == (0, 5)
  np.testing.assert_array_equal(middle.steps.is_first, middle.steps.is_first.astype(bool))


def test_a_log_is_read_while_it_is_written(tmp_path: Path):
  replay = logged(tmp_path, capacity=40)
  fill(replay, [3])
  before = only_file(tmp_path).read_bytes()
  assert rows(read_sequence(tmp_path, 1.0, 5)) == [[0, 0], [0, 1], [0, 2]]
  assert only_file(tmp_path).read_bytes() == before
  replay.close_log()


def test_damaged_rows_are_not_shown(tmp_path: Path):
  written(tmp_path, [6], capacity=40)
  path = only_file(tmp_path)
  flip(path, header_bytes(path) + 2 * ROW + 30)
  assert rows(read_sequence(tmp_path, 0.0, 5)) == [[0, 3], [0, 4]]
  path.write_bytes(path.read_bytes()[:-10])  # half a row at the end
  assert rows(read_sequence(tmp_path, 1.0, 2)) == [[0, 3], [0, 4]]


def test_where_there_is_nothing_nothing_is_shown(tmp_path: Path):
  assert read_sequence(tmp_path / "missing", 0.5, 3) is None
  assert read_sequence(tmp_path, 0.5, 3) is None
  with pytest.raises(ValueError, match=r"where=1\.5"):
    read_sequence(tmp_path, 1.5, 3)
