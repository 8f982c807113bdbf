"""What a learner relies on: whole, contiguous, uniform sequences, each with the latents from the step before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamerax.replay import Replay, ReplayConfig
from dreamerax.types import ArraySpec, EnvSpec
from tests.replay.numbered import EPISODE, LATENTS, SPEC, fill, make, step

counts = st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(lambda rows: max(rows) >= 4)


@settings(max_examples=60, deadline=None)
@given(rows=counts, online=st.booleans(), context=st.integers(0, 1), seed=st.integers(0, 3))
def test_sequences_are_consecutive_rows_that_are_still_stored(rows, online, context, seed):
  replay = make(len(rows), seed, online=online, context=context)
  fill(replay, rows)
  per_stream = replay.capacity // len(rows)
  for _ in range(5):
    batch, slots = replay.sample()
    where = batch.steps.observation["where"]  # [B, T, 2]
    stream, position = where[..., 0], where[..., 1]
    assert (stream == slots.streams[:, None]).all()
    assert (position == slots.positions[:, None] + np.arange(3)).all()
    assert (position < np.array(rows)[stream]).all()
    assert (position - context >= np.maximum(np.array(rows) - per_stream, 0)[stream]).all()


@settings(max_examples=30, deadline=None)
@given(rows=counts)
def test_every_column_comes_from_the_same_step(rows):
  replay = make(len(rows))
  fill(replay, rows)
  batch, slots = replay.sample()
  for index in range(4):
    positions = slots.positions[index] + np.arange(3)
    expected, _ = step([slots.streams[index]] * 3, positions)
    np.testing.assert_array_equal(batch.steps.observation["pixels"][index], expected.observation["pixels"])
    for name in ("action", "reward", "is_first", "is_last", "is_terminal"):
      np.testing.assert_array_equal(getattr(batch.steps, name)[index], getattr(expected, name))
  assert batch.steps.observation["pixels"].dtype == np.uint8
  assert batch.steps.is_first.dtype == np.bool_


@settings(max_examples=30, deadline=None)
@given(rows=counts)
def test_context_is_the_row_before_the_first_trained_one(rows):
  replay = make(len(rows))
  fill(replay, rows)
  batch, slots = replay.sample()
  expected = np.stack([slots.streams, slots.positions - 1], -1)
  np.testing.assert_array_equal(batch.context["stoch"], expected)
  assert batch.context["deter"].shape == (4, 3)


def test_without_context_no_latents_are_kept():
  replay = make(context=0)
  fill(replay, [12])
  batch, slots = replay.sample()
  assert batch.context == {}
  assert replay.update_latents(slots, {}) == 0
  assert replay.bytes < make(context=1).bytes


def test_a_context_of_latents_that_there_are_none_of_is_refused():
  with pytest.raises(ValueError, match=r"replay.context=1 .* this world model stores none: give --replay.context 0"):
    Replay(SPEC, {}, config=ReplayConfig(capacity=12, batch_size=4, batch_length=3), streams=1, seed=0)


def test_sequences_cross_episodes_and_is_first_marks_where():
  replay = make(batch_size=64)
  fill(replay, [12])
  batch, slots = replay.sample()
  positions = slots.positions[:, None] + np.arange(3)
  np.testing.assert_array_equal(batch.steps.is_first, positions % EPISODE == 0)
  assert batch.steps.is_first[:, 1:].any(), "no sequence ran over the end of an episode"


def test_starts_are_uniform_over_uneven_streams():
  replay = make(4, seed=7, batch_size=1000)
  rows = [3, 4, 9, 30]  # sequences of 4: 0, 1, 6, and (12 rows kept) 9
  fill(replay, rows)
  assert replay.sequences == 16
  assert replay.steps == 3 + 4 + 9 + 12
  places: dict[tuple[int, int], int] = {}
  for _ in range(20):
    _, slots = replay.sample()
    for place in zip(slots.streams.tolist(), slots.positions.tolist(), strict=True):
      places[place] = places.get(place, 0) + 1
  expected = {(1, 1), *((2, p) for p in range(1, 7)), *((3, p) for p in range(19, 28))}
  assert set(places) == expected
  mean = 20_000 / 16
  chi_square = sum((count - mean) ** 2 / mean for count in places.values())
  assert chi_square < 37.7  # 99.9 % quantile for 15 degrees of freedom


def test_online_queue_hands_out_each_new_sequence_once_and_first():
  replay = make(2, online=True, batch_size=2, capacity=200)
  fill(replay, [12, 8])
  taken = []
  for _ in range(3):
    _, slots = replay.sample()
    taken += zip(slots.streams.tolist(), (slots.positions - 1).tolist(), strict=True)
  # Five sequences of 1 + 3 rows, in the order in which they were completed; the sixth is drawn.
  assert taken[:5] == [(0, 0), (1, 0), (0, 4), (1, 4), (0, 8)]
  fill(replay, [4, 4], start=[12, 8])
  _, slots = replay.sample()
  assert [*zip(slots.streams.tolist(), (slots.positions - 1).tolist(), strict=True)] == [(0, 12), (1, 8)]


@settings(max_examples=30, deadline=None)
@given(rows=counts, draws=st.integers(1, 12))
def test_online_queue_skips_what_was_overwritten(rows, draws):
  replay = make(len(rows), online=True, batch_size=1)
  fill(replay, rows)
  kept = {(s, p) for s, n in enumerate(rows) for p in range(0, n - 3, 4) if p >= n - 12}
  taken = []
  for _ in range(draws):
    _, slots = replay.sample()
    taken.append((int(slots.streams[0]), int(slots.positions[0]) - 1))
  newest = taken[: len(kept)]
  assert len(set(newest)) == len(newest)
  assert set(newest) <= kept
  assert draws < len(kept) or set(newest) == kept


def test_same_seed_and_same_calls_give_the_same_batches():
  def run(seed):
    replay = make(2, seed, online=True)
    fill(replay, [9, 7])
    first = replay.sample()
    fill(replay, [1, 2], start=[9, 7])
    return [first, replay.sample(), replay.sample()]

  for (batch, slots), (again, same) in zip(run(3), run(3), strict=True):
    np.testing.assert_array_equal(np.stack(slots), np.stack(same))
    np.testing.assert_array_equal(batch.steps.reward, again.steps.reward)
  assert any((a[1].positions != b[1].positions).any() for a, b in zip(run(3), run(4), strict=True))


def test_sampled_arrays_are_the_callers_own():
  replay = make()
  fill(replay, [4])  # one sequence: every draw returns it
  batch, _ = replay.sample()
  other, _ = replay.sample()
  batch.steps.reward[:] = -1
  batch.context["deter"][:] = -1
  again, _ = replay.sample()
  np.testing.assert_array_equal(other.steps.reward, again.steps.reward)
  np.testing.assert_array_equal(other.context["deter"], again.context["deter"])
  assert not np.shares_memory(batch.steps.reward, other.steps.reward)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(4, 30), later=st.integers(0, 30))
def test_refreshed_latents_reach_only_rows_not_overwritten_meanwhile(first, later):
  replay = make(batch_size=1)
  fill(replay, [first])
  _, slots = replay.sample()
  fill(replay, [later], start=[first])
  positions = slots.positions[0] + np.arange(3)
  fresh = {"deter": np.tile(-1.0 - positions[None, :, None], (1, 1, 3)), "stoch": np.zeros((1, 3, 2), np.int32)}
  refreshed = {position for position in positions.tolist() if position >= first + later - 12}
  assert replay.update_latents(slots, fresh) == len(refreshed)
  for _ in range(60):  # at most nine different sequences
    batch, at = replay.sample()
    before = int(at.positions[0]) - 1
    assert (batch.context["deter"] == (-1 - before if before in refreshed else before)).all()
    assert (batch.steps.reward[0] == before + 1 + np.arange(3)).all()


def test_refreshed_latents_return_to_the_step_they_belong_to():
  replay = make(2, batch_size=1)
  fill(replay, [0, 4])
  _, slots = replay.sample()
  replay.update_latents(slots, {"deter": np.ones((1, 3, 3)), "stoch": 100 + np.arange(6).reshape(1, 3, 2)})
  fill(replay, [0, 1], start=[0, 4])
  seen = set()
  for _ in range(20):
    batch, at = replay.sample()
    seen.add((int(at.positions[0]), *batch.context["stoch"][0].tolist()))
  assert seen == {(1, 1, 0), (2, 100, 101)}  # the context of position 2 is the first trained row


def test_latents_in_bfloat16_keep_their_dtype():
  pytest.importorskip("ml_dtypes")
  config = ReplayConfig(capacity=8, batch_size=1, batch_length=3)
  replay = Replay(SPEC, {"deter": ArraySpec((2,), "bfloat16")}, config=config, streams=1, seed=0)
  for position in range(4):
    transition, _ = step([0], [position])
    replay.add(transition, {"deter": np.full((1, 2), 1.5 + position, np.float32)})
  batch, _ = replay.sample()
  assert batch.context["deter"].dtype.name == "bfloat16"
  assert (batch.context["deter"].astype(np.float32) == 1.5).all()


def test_sampling_too_early_says_what_to_do():
  replay = make()
  fill(replay, [3])
  with pytest.raises(ValueError, match=r"3 steps and a sequence needs 4.*prefill"):
    replay.sample()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"reward": np.zeros((1, 1), np.float32)}, r"reward has shape \(1, 1\)"),
    ({"reward": np.zeros(2, np.float32)}, r"reward has shape \(2,\)"),
    ({"observation": {"pixels": np.zeros((1, 2, 2, 3), np.uint8)}}, "observation/where"),
    (
      {"observation": {"pixels": np.zeros((1, 2, 2, 3), np.float32), "where": np.zeros((1, 2), np.int32)}},
      "observation/pixels is float32",
    ),
  ],
)
def test_a_step_that_does_not_fit_is_refused_and_changes_nothing(change, message):
  replay = make()
  transition, latents = step([0], [0])
  with pytest.raises(ValueError, match=message):
    replay.add(transition._replace(**change), latents)
  assert replay.steps == 0


@pytest.mark.parametrize("streams", [[0, 0], [2], [-1]])
def test_stream_ids_that_do_not_exist_or_repeat_are_refused(streams):
  replay = make(2)
  with pytest.raises(ValueError, match="distinct ids from 0 to 1"):
    replay.add(*step(streams, [0] * len(streams)), streams=streams)


def test_any_observation_keys_are_kept():
  spec = EnvSpec({"action": ArraySpec((1,)), "latent/deter": ArraySpec((), "int64")}, SPEC.action)
  config = ReplayConfig(capacity=8, batch_size=1, batch_length=3)
  replay = Replay(spec, LATENTS, config=config, streams=1, seed=0)
  for position in range(4):
    transition, latents = step([0], [position])
    observation = {"action": np.full((1, 1), 9.0, np.float32), "latent/deter": np.array([position])}
    replay.add(transition._replace(observation=observation), latents)
  batch, _ = replay.sample()
  np.testing.assert_array_equal(batch.steps.observation["latent/deter"], [[1, 2, 3]])
  np.testing.assert_array_equal(batch.steps.observation["action"], np.full((1, 3, 1), 9.0))
