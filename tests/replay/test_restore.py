"""A restarted run gets the replay that its checkpoint belongs to, and no row joins episodes that do not belong together."""

import json

import numpy as np
import pytest

from dreamerax.replay import Replay, ReplayConfig
from dreamerax.replay.log.segment import segments
from dreamerax.replay.log.writer import LogFiles
from dreamerax.types import ArraySpec
from tests.replay.logged import ROW, SMALL, flip, header_bytes, held, logged, only_file, positions, written
from tests.replay.numbered import SPEC, fill, make, step


def train(replay, rounds, fresh):
  """What a learner does: adds, samples, refreshes latents. Returns every array that it saw."""
  seen = []
  for count in range(rounds):
    start = replay.held[:, 1].tolist()
    fill(replay, [1, 1 + count % 2], start=start)
    batch, slots = replay.sample()
    seen += [*slots, *batch.steps.observation.values(), *batch.steps[1:], *batch.context.values()]
    shape = (len(slots.streams), 3)
    latents = {
      "deter": fresh.normal(size=(*shape, 3)).astype(np.float32),
      "stoch": fresh.integers(99, size=(*shape, 2)).astype(np.int32),
    }
    replay.update_latents(slots, latents)
  return seen


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("before", [2, 9, 40])  # rounds: ring not full, just so, written over many times
def test_a_restored_replay_goes_on_bit_for_bit(tmp_path, online, before):
  fields = {"streams": 2, "seed": 3, "online": online, "batch_size": 2}
  replay = logged(tmp_path, files=LogFiles(8 * ROW), **fields)
  fill(replay, [4, 4])
  train(replay, before, np.random.default_rng(1))
  fill(replay, [8, 8], start=replay.held[:, 1].tolist())  # sequences that wait in the online queue
  end = json.loads(json.dumps(replay.commit_log()))
  state = {name: array.copy() for name, array in replay.state(latents=True).items()}
  expected = train(replay, 30, np.random.default_rng(2))  # it lives on, and is killed

  restored = make(**{**fields, "seed": 99})
  loaded = restored.open_log(tmp_path, end, lambda line: None, files=LogFiles(8 * ROW))
  assert loaded.complete and (loaded.skipped, loaded.missing) == (0, 0)
  restored.restore(state)
  assert restored.steps == int((state["held"][:, 1] - state["held"][:, 0]).sum())
  for name, array in restored.state(latents=True).items():
    np.testing.assert_array_equal(array, state[name])
    assert array.dtype == state[name].dtype
  found = train(restored, 30, np.random.default_rng(2))
  assert len(found) == len(expected)
  for ours, theirs in zip(found, expected, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  assert len(state["queue"]) == (4 if online else 0)


def test_the_state_is_plain_numbers(tmp_path):
  replay = logged(tmp_path, streams=2, online=True)
  fill(replay, [9, 4])
  assert replay.sample() is not None
  fill(replay, [4, 0], start=[9, 4])
  state = replay.state(latents=False)
  assert {name: (array.dtype.name, array.shape) for name, array in state.items()} == {
    "random": ("uint64", (6,)),
    "queue": ("int64", (1, 2)),
    "held": ("int64", (2, 2)),
  }
  assert state["queue"].tolist() == [[0, 8]]
  assert state["held"].tolist() == [[1, 13], [0, 4]]
  latents = replay.state(latents=True)["latent/stoch"]
  assert latents.tolist() == [[0, n] for n in range(1, 13)] + [[1, n] for n in range(4)]
  other = make(2, seed=5, online=True)
  other.restore(state)  # with nothing logged: draws go on, and the queue holds only what is there
  assert other.state(latents=False)["queue"].shape == (0, 2)
  assert other.state(latents=False)["random"].tolist() == state["random"].tolist()


def test_without_saved_latents_they_are_those_of_the_log(tmp_path):
  replay = logged(tmp_path, batch_size=1)
  fill(replay, [4])
  _, slots = replay.sample()
  replay.update_latents(slots, {"deter": np.full((1, 3, 3), -1.0, np.float32), "stoch": np.zeros((1, 3, 2), np.int32)})
  end, state = replay.commit_log(), replay.state(latents=False)
  replay.close_log()
  restored = logged(tmp_path, end)
  restored.restore(state)
  assert [row["latent/stoch"].tolist() for row in held(restored).values()] == [[0, n] for n in range(4)]


def test_saved_latents_return_only_to_rows_that_are_held(tmp_path):
  replay = logged(tmp_path, online=True, files=SMALL)
  fill(replay, [12])
  end, state = replay.commit_log(), replay.state(latents=True)
  state["latent/stoch"] += 100
  segments(tmp_path)[0].unlink()
  restored = make()
  assert not restored.open_log(tmp_path, end, lambda line: None).complete
  restored.restore(state)
  assert {p: row["latent/stoch"].tolist() for p, row in held(restored).items()} == {
    p: [100, 100 + p] for p in range(4, 12)
  }
  assert state["queue"].tolist() == [[0, 0], [0, 4], [0, 8]]
  assert restored.state(latents=False)["queue"].tolist() == [[0, 4], [0, 8]]
  with pytest.raises(ValueError, match=r"latent/deter.*this run \[\]"):
    make(context=0).restore(state)
  with pytest.raises(ValueError, match="1 streams, and this run 2"):
    make(2).restore(state)


@pytest.mark.parametrize("files", [SMALL, None])
def test_what_came_after_the_end_is_cut(tmp_path, files):
  replay = logged(tmp_path, capacity=100, files=files)
  fill(replay, [6])
  end = replay.commit_log()
  fill(replay, [9], start=[6])
  replay.commit_log()
  replay.close_log()
  lines = []
  replay = make(capacity=100)
  loaded = replay.open_log(tmp_path, end, lines.append, files=files)
  assert positions(replay) == list(range(6)) and loaded.complete
  assert len(lines) == 1 and f"6 steps (0.0 MiB) loaded from {tmp_path}" in lines[0]
  assert sum(path.stat().st_size - header_bytes(path) for path in segments(tmp_path)) == 6 * ROW
  fill(replay, [2], start=[6])
  assert positions(replay) == list(range(8))
  later = replay.commit_log()
  replay.close_log()
  assert positions(logged(tmp_path, later, capacity=100)) == list(range(8))
  assert positions(logged(tmp_path, capacity=100)) == list(range(8))
  assert positions(logged(tmp_path, end, capacity=100)) == list(range(6))


def test_a_log_that_does_not_reach_the_end_is_loaded_and_said_so(tmp_path):
  end = written(tmp_path, [7], files=SMALL)
  newest = segments(tmp_path)[-1]
  newest.unlink()
  lines = []
  replay = make()
  loaded = replay.open_log(tmp_path, end, lines.append)
  assert (loaded.complete, loaded.missing) == (False, 3)
  assert replay.held[:, 1].tolist() == [7]  # the next row gets the number it would have had
  assert replay.commit_log()["written"] == [7]
  assert positions(replay) == [0, 1, 2, 3]
  assert len(lines) == 2 and "does not hold everything" in lines[1] and "3 steps missing" in lines[1]


def damaged(folder, rows, lost, capacity=12):
  """A replay of one stream from a log in which the rows at positions `lost` are damaged."""
  written(folder, [rows], capacity=capacity)
  path = only_file(folder)
  for position in lost:
    flip(path, header_bytes(path) + position * ROW + 30)
  replay = make(capacity=capacity)
  return replay, replay.open_log(folder, None, lambda line: None)


@pytest.mark.parametrize(("rows", "gap"), [(10, [6]), (10, [6, 7]), (16, [11, 12, 13]), (10, [1, 2])])
def test_rows_beside_a_gap_and_in_it_do_not_join_episodes(tmp_path, rows, gap):
  replay, loaded = damaged(tmp_path, rows, gap)
  whole = make()
  fill(whole, [rows])
  before, after = gap[0] - 1, gap[-1] + 1
  expected = held(whole)
  expected[before]["is_last"] = np.array(True)
  zeros = {"reward": np.array(0.0), "action": np.zeros(2), "is_first": np.array(True)}
  for position in gap:
    if position in expected:
      expected[position] = {**expected[before], **zeros, "is_last": np.array(True), "is_terminal": np.array(False)}
  expected[after] |= zeros
  found = held(replay)
  assert found.keys() == expected.keys()
  for position, row in expected.items():
    for name, value in row.items():
      np.testing.assert_array_equal(found[position][name], value, err_msg=f"{name} at {position}")
  assert (loaded.missing, loaded.skipped, loaded.complete) == (len(gap), len(gap), False)


def test_a_terminal_row_before_a_gap_stays_terminal_and_its_copies_are_not(tmp_path):
  replay = logged(tmp_path)
  for position in range(6):
    transition, latents = step([0], [position])
    replay.add(transition._replace(is_terminal=np.array([position == 2])), latents)
  replay.close_log()
  flip(only_file(tmp_path), header_bytes(only_file(tmp_path)) + 3 * ROW + 30)
  replay = logged(tmp_path)
  assert [bool(row["is_terminal"]) for row in held(replay).values()] == [False, False, True, False, False, False]


def test_a_long_gap_drops_what_came_before_it(tmp_path):
  replay, loaded = damaged(tmp_path, 10, [3, 4, 5, 6])
  assert positions(replay) == [7, 8, 9]
  assert held(replay).keys() == {7, 8, 9}
  assert not held(replay)[7]["is_first"] and held(replay)[7]["reward"] == 7
  assert (loaded.rows.tolist(), loaded.missing, loaded.complete) == ([3], 4, False)
  with pytest.raises(ValueError, match="3 steps and a sequence needs 4"):
    replay.sample()
  fill(replay, [1], start=[10])
  _, slots = replay.sample()
  assert (slots.positions == 8).all()


def test_damage_that_memory_has_overwritten_since_does_not_count(tmp_path):
  replay, loaded = damaged(tmp_path, 20, [2, 3])
  assert positions(replay) == list(range(8, 20))
  assert loaded.complete and loaded.skipped == 2


def test_the_row_after_a_gap_counts_as_long_as_it_is_held(tmp_path):
  replay, loaded = damaged(tmp_path, 16, [2, 3])
  assert min(held(replay)) == 4 and held(replay)[4]["reward"] == 0
  assert not loaded.complete


def test_a_row_that_was_logged_twice_is_taken_once(tmp_path):
  written(tmp_path, [8])
  path = only_file(tmp_path)
  rows = header_bytes(path)
  content = path.read_bytes()
  path.write_bytes(content[: rows + 6 * ROW] + content[rows + 3 * ROW :])  # those of positions 3 to 5
  assert positions(logged(tmp_path)) == list(range(8))


def test_a_gap_of_one_stream_leaves_the_others_alone(tmp_path):
  written(tmp_path, [8, 8, 5])
  path = only_file(tmp_path)
  for record in (4, 7, 13):  # position 1 and 2 of stream 1, position 4 of stream 1
    flip(path, header_bytes(path) + record * ROW + 30)
  replay = make(3)
  replay.open_log(tmp_path, None, lambda line: None)
  assert [positions(replay, stream) for stream in range(3)] == [[*range(8)], [0, 3, 5, 6, 7], [*range(5)]]
  whole = make(3)
  fill(whole, [8, 8, 5])
  for stream in (0, 2):
    for position, row in held(whole, stream).items():
      for name, value in row.items():
        np.testing.assert_array_equal(held(replay, stream)[position][name], value)


def test_bfloat16_latents_return_bit_for_bit(tmp_path):
  pytest.importorskip("ml_dtypes")

  def build():
    config = ReplayConfig(capacity=8, batch_size=1, batch_length=3)
    replay = Replay(SPEC, {"deter": ArraySpec((2,), "bfloat16")}, config=config, streams=1, seed=0)
    replay.open_log(tmp_path, None, lambda line: None)
    return replay

  replay = build()
  for position in range(4):
    transition, _ = step([0], [position])
    replay.add(transition, {"deter": np.full((1, 2), 1.5 + position, np.float32)})
  replay.close_log()
  column = build().rows(0)["latent/deter"]
  assert column.dtype.name == "bfloat16"
  assert column.astype(np.float32)[:, 0].tolist() == [1.5, 2.5, 3.5, 4.5]
