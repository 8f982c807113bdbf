"""Draws of the newest whole episodes: which they are, that they are aligned, and what is refused."""

import numpy as np
import pytest

from dreamerax.replay import ReplayConfig
from dreamerax.types import Transition
from tests.replay.numbered import EPISODE, fill, make, step


def newest(streams: int = 2, **fields):
  how = {"draw": "newest", "context": 0, "batch_length": EPISODE, "batch_size": 4, "capacity": 20 * streams}
  return make(streams, **(how | fields))


def add(replay, stream: int, position: int, **flags: bool) -> None:
  """One row of one stream, with some of its flags changed."""
  transition, latents = step([stream], [position])
  changed = {name: np.array([value]) for name, value in flags.items()}
  replay.add(transition._replace(**changed), latents, streams=[stream])


def drawn(replay) -> list[tuple[int, int]]:
  batch, slots = replay.sample()
  first, last = np.zeros(EPISODE, bool), np.zeros(EPISODE, bool)
  first[0], last[-1] = True, True
  np.testing.assert_array_equal(batch.steps.is_first, np.tile(first, (len(slots.streams), 1)))
  np.testing.assert_array_equal(batch.steps.is_last, np.tile(last, (len(slots.streams), 1)))
  np.testing.assert_array_equal(batch.steps.observation["where"][:, 0], np.stack([slots.streams, slots.positions], -1))
  return [*zip(slots.streams.tolist(), slots.positions.tolist(), strict=True)]


def test_the_newest_episodes_of_each_stream_come_whole_and_again_until_there_are_newer_ones():
  replay = newest()
  fill(replay, [12, 17])
  assert drawn(replay) == drawn(replay) == [(0, 0), (0, 5), (1, 5), (1, 10)]
  fill(replay, [3, 2], start=[12, 17])
  assert drawn(replay) == [(0, 5), (0, 10), (1, 5), (1, 10)]  # the fourth of stream 1 lacks a row
  fill(replay, [20, 20], start=[15, 19])  # the ring begins anew
  assert drawn(replay) == [(0, 25), (0, 30), (1, 25), (1, 30)]


def test_nothing_is_ready_before_every_stream_has_its_share():
  replay = newest()
  fill(replay, [10, 9])
  assert replay.sequences == 0
  with pytest.raises(
    ValueError, match=r"an environment has 1 whole episodes in replay, and replay.batch_size=4 takes 2"
  ):
    replay.sample()
  fill(replay, [0, 1], start=[10, 9])
  assert replay.sequences == 4


def test_an_episode_that_a_failure_cut_short_is_left_out():
  replay = newest(1, batch_size=2)
  fill(replay, [10])
  add(replay, 0, 10)
  add(replay, 0, 11, is_last=True)
  assert [position for _, position in drawn(replay)] == [0, 5]
  for place in range(EPISODE):
    add(replay, 0, 12 + place, is_first=place == 0, is_last=place == EPISODE - 1)
  assert [position for _, position in drawn(replay)] == [5, 12]


def test_episodes_of_another_length_are_refused_as_soon_as_they_are_seen():
  with pytest.raises(ValueError, match=r"batch_length=6 rows, .* environment 0 has 5: set --replay.batch-length to it"):
    fill(newest(batch_length=6), [EPISODE, EPISODE])
  replay = newest(batch_length=4)
  fill(replay, [4, 0])
  with pytest.raises(ValueError, match=r"batch_length=4 rows, .* environment 0 has 5: set --replay.batch-length to it"):
    fill(replay, [1, 0], start=[4, 0])
  replay = newest(batch_length=3)
  fill(replay, [3, 0])
  with pytest.raises(ValueError, match=r"one of environment 0 goes on after 3: set --replay.batch-length"):
    fill(replay, [1, 0], start=[3, 0])
  replay = newest()
  fill(replay, [10, 10])
  add(replay, 1, 10)
  with pytest.raises(ValueError, match=r"environment 1 has 2: choose a --task whose episodes are all of one length"):
    add(replay, 1, 11, is_last=True, is_terminal=True)


def test_settings_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match=r"batch_size=4 episodes do not come evenly from 3 environments: .* 6, or --num"):
    newest(3)
  with pytest.raises(ValueError, match=r"replay.draw='newest' .* give --no-replay.online --replay.context 0"):
    ReplayConfig(draw="newest", context=0)
  with pytest.raises(ValueError, match=r"replay.draw='oldest' must be uniform or newest"):
    ReplayConfig(draw="oldest", context=0, online=False)


def test_a_restored_replay_draws_the_same():
  replay = newest()
  fill(replay, [12, 17])
  state = replay.state(latents=True)
  again = newest()
  fill(again, [12, 17])
  again.restore(state)
  assert drawn(again) == drawn(replay)


def test_the_contents_are_those_rows():
  replay = newest(1, batch_size=1)
  fill(replay, [7])
  steps: Transition = replay.sample()[0].steps
  expected, _ = step([0] * EPISODE, range(EPISODE))
  np.testing.assert_array_equal(steps.reward[0], expected.reward)


def test_episodes_of_any_age_follow_each_of_the_newest_and_a_restored_replay_draws_the_same():
  replay = newest(batch_size=12, older=2, capacity=100)
  fill(replay, [37, 36])
  seen = set()
  for _ in range(20):
    rows = drawn(replay)
    assert rows[::3] == [(0, 25), (0, 30), (1, 25), (1, 30)]
    seen |= {*rows[1::3], *rows[2::3]}
  assert seen == {(stream, 5 * i) for stream in (0, 1) for i in range(7)}
  state, again = replay.state(latents=True), newest(batch_size=12, older=2, capacity=100)
  fill(again, [37, 36])
  again.restore(state)
  assert drawn(again) == drawn(replay) != drawn(replay)
  with pytest.raises(ValueError, match=r"12 episodes, 1 in 3 of them new, do not come .* 3 environments: .* 18, or"):
    newest(3, batch_size=12, older=2)
  with pytest.raises(
    ValueError, match=r"replay.batch_size=4 is not a multiple of 3, one of the newest .* replay.older=2"
  ):
    newest(batch_size=4, older=2)
  with pytest.raises(ValueError, match=r"replay.older=1 counts whole episodes: give --replay.draw newest"):
    ReplayConfig(older=1)
