"""Streams that are dealt out to other replays arrive whole and once, and their episodes end where the run was cut off."""

from pathlib import Path

import numpy as np
import pytest

from dreamerax.replay import OldLog, Replay
from dreamerax.replay.log.reshard import assign
from dreamerax.replay.log.segment import segments
from tests.replay.logged import held, logged, written
from tests.replay.numbered import fill


@pytest.mark.parametrize(
  ("lengths", "streams", "hosts"), [([5, 5, 5, 5], 4, 2), ([9, 1, 2, 7, 7, 3], 2, 1), ([4], 3, 2), ([3, 8] * 6, 3, 4)]
)
def test_every_stream_is_dealt_once_and_evenly(lengths: list[int], streams: int, hosts: int):
  assigned = assign(lengths, streams, hosts)
  assert [len(each) for each in assigned] == [streams] * hosts
  assert sorted(old for host in assigned for stream in host for old in stream) == list(range(len(lengths)))
  steps = [sum(lengths[old] for old in stream) for host in assigned for stream in host]
  assert max(steps) - min(steps) <= max(lengths)
  on_hosts = [sum(map(bool, host)) for host in assigned]
  assert max(on_hosts) - min(on_hosts) <= 1


@pytest.fixture
def old(tmp_path: Path) -> list[OldLog]:
  """Logs of two replays of two streams, that went on after their last commit."""
  logs = []
  for name, rows in (("a", [7, 5]), ("b", [14, 3])):
    replay = logged(tmp_path / name, {}, streams=2, capacity=40)
    fill(replay, rows)
    logs.append(OldLog(tmp_path / name, replay.commit_log()))
    fill(replay, [4, 4], start=rows)
    replay.close_log()
  return logs


def places(replay: Replay) -> list[tuple[int, ...]]:
  """Where each row held was first added, in the order of the streams."""
  rows = [row for stream in range(len(replay.held)) for row in held(replay, stream).values()]
  return [tuple(row["observation/where"].tolist()) for row in rows]


ALL = sorted((stream, position) for stream, rows in ((0, 7), (1, 5), (0, 14), (1, 3)) for position in range(rows))


@pytest.mark.parametrize("hosts", [1, 2, 3])
def test_no_step_is_lost_or_doubled(old: list[OldLog], tmp_path: Path, hosts: int):
  taken, again = [], []
  for host in range(hosts):
    replay = logged(tmp_path / f"new-{host}", {}, streams=2, capacity=40)
    replay.take_share(old, host, hosts)
    taken += places(replay)
    replay.close_log()
    again += places(logged(tmp_path / f"new-{host}", streams=2, capacity=40))  # the log has them too
  assert sorted(taken) == sorted(again) == ALL


def test_streams_that_are_joined_keep_their_episodes_apart(old: list[OldLog], tmp_path: Path):
  before = {log.folder: [path.read_bytes() for path in segments(log.folder)] for log in old}
  replay = logged(tmp_path / "new", {}, streams=2, capacity=40)
  replay.take_share(old, 0, 1)
  assert {log.folder: [path.read_bytes() for path in segments(log.folder)] for log in old} == before
  long, joined = held(replay, 0), held(replay, 1)
  assert len(long) == 14 and len(joined) == 7 + 5 + 3
  for end in (6, 11, 14):
    assert joined[end]["is_last"] and not joined[end]["is_terminal"]
  for begin in (0, 7, 12):
    assert joined[begin]["is_first"]
  assert joined[13]["reward"] == 1001 and not joined[13]["is_first"]  # all else is as it was


def test_a_stream_that_was_full_begins_an_episode_where_it_follows_another(tmp_path: Path):
  logs = []
  for name, rows in (("a", 12), ("b", 14)):
    end = written(tmp_path / name, [rows], capacity=12)
    logs.append(OldLog(tmp_path / name, end))
  replay = logged(tmp_path / "new", {}, capacity=12)
  replay.take_share(logs, 0, 1)
  assert [place for _, place in places(replay)] == list(range(2, 14))  # the newest that fit
  assert held(replay)[12]["is_first"] and np.all(held(replay)[12]["action"] == 0)
  assert not held(replay)[13]["is_first"] and np.all(held(replay)[13]["action"] != 0)
