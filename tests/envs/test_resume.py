"""Batches that go on, to the bit, from what another one said of its episodes."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, EpisodeSoFar, WorkerConfig, make_batch
from dreamerax.envs.base import EnvBatch
from dreamerax.envs.journal import episode_seed
from dreamerax.envs.suites.actions import random_actions
from dreamerax.types import Transition

Make = Callable[..., EnvBatch]
KINDS = {"serial": None, "workers": WorkerConfig(2)}
PLACES = [(origin, target) for origin in KINDS for target in KINDS]


@pytest.fixture
def make():
  """Makes five toys, in this process or in two others, and closes them."""
  batches = []

  def make(kind: str, toy: str = "wander", num_envs: int = 5) -> EnvBatch:
    batches.append(make_batch(EnvConfig(f"tests.envs.toys:{toy}"), num_envs, 7, KINDS[kind]))
    return batches[-1]

  yield make
  for batch in batches:
    batch.close()


def copied(row: Transition) -> Transition:
  return row._replace(observation={key: value.copy() for key, value in row.observation.items()})


def drive(envs: EnvBatch, steps: int, seed: int) -> list[Transition]:
  rng = np.random.default_rng(seed)
  rows = []
  for _ in range(steps):
    actions = random_actions(envs.spec.action, rng, envs.num_envs)
    rows.append(copied(envs.step(actions)))
  return rows


def begun(envs: EnvBatch, steps: int = 12) -> tuple[list[EpisodeSoFar], Transition]:
  """Episodes after so many steps, some over and some not, and their newest rows."""
  envs.reset()
  newest = drive(envs, steps, 0)[-1]
  return envs.episodes(), newest


def assert_equal_rows(one: Sequence[Transition], other: Sequence[Transition], streams=slice(None)) -> None:
  for index, (a, b) in enumerate(zip(one, other, strict=True)):
    for name in a._fields[1:]:
      np.testing.assert_array_equal(getattr(a, name)[streams], getattr(b, name)[streams], err_msg=f"{name} at {index}")
    for key, value in a.observation.items():
      np.testing.assert_array_equal(value[streams], b.observation[key][streams], err_msg=f"{key} at {index}")


def assert_equal_episodes(one: Sequence[EpisodeSoFar], other: Sequence[EpisodeSoFar]) -> None:
  for a, b in zip(one, other, strict=True):
    assert (a.number, a.over) == (b.number, b.over)
    np.testing.assert_array_equal(a.actions, b.actions)


def test_episodes_are_the_actions_that_were_received_since_each_reset(make: Make):
  envs = make("serial")
  assert [(e.number, e.actions.shape, e.over) for e in envs.episodes()] == [(-1, (0, 2), True)] * 5
  rows = [envs.reset(), *drive(envs, 12, 0)]
  envs.send(np.ones((5, 2)))  # not received
  for stream, episode in enumerate(envs.episodes()):
    first = [bool(row.is_first[stream]) for row in rows]
    assert episode.number == sum(first) - 1 >= 1
    newest = len(rows) - 1 - first[::-1].index(True)
    expected = [row.action[stream] for row in rows[newest + 1 :]]
    np.testing.assert_array_equal(episode.actions, np.reshape(expected, (-1, 2)))
    assert episode.actions.dtype == np.float32 and episode.over == rows[-1].is_last[stream]


@pytest.mark.parametrize(("origin", "target"), PLACES)
def test_a_resumed_batch_goes_on_as_the_first_would_have(make: Make, origin: str, target: str):
  envs = make(origin)
  episodes, newest = begun(envs)
  assert 0 < sum(e.over for e in episodes) < 5 and any(not e.over and len(e.actions) > 1 for e in episodes)
  resumed = make(target)
  assert not resumed.resume(episodes, newest).any()
  assert_equal_episodes(resumed.episodes(), episodes)
  rows = drive(envs, 20, 1)
  assert sum(row.is_first.sum() for row in rows) > 5
  assert_equal_rows(drive(resumed, 20, 1), rows)
  assert_equal_episodes(resumed.episodes(), envs.episodes())


def test_parts_resume_their_own_rows_also_where_one_was_in_flight(make: Make):
  parts = make("workers").split()
  newest = [begun(part)[1] for part in parts]
  actions = np.full((3, 2), 0.5, np.float32)
  parts[0].send(actions)
  episodes = [part.episodes() for part in parts]
  again = make("workers").split()
  for part, taken, row in zip(again, episodes, newest, strict=True):
    assert not part.resume(taken, row).any()
  again[0].send(actions)
  expected = [[copied(parts[0].receive()), *drive(parts[0], 10, 1)], drive(parts[1], 10, 1)]
  assert_equal_rows([copied(again[0].receive()), *drive(again[0], 10, 1)], expected[0])
  assert_equal_rows(drive(again[1], 10, 1), expected[1])


def test_a_part_resumes_while_another_steps(make: Make):
  first = make("workers").split()
  episodes, newest = begun(first[1])
  parts = make("workers").split()
  row = parts[0].reset()
  parts[0].send(np.zeros((3, 2)))
  assert not parts[1].resume(episodes, newest).any()
  assert parts[0].receive().observation["place"].shape == row.observation["place"].shape
  assert_equal_rows(drive(parts[1], 10, 1), drive(first[1], 10, 1))


@pytest.mark.parametrize(
  ("kind", "toy", "gone", "account"),
  [
    ("serial", "fickle", [0], ""),
    ("workers", "fickle", [0], ""),
    ("serial", "forgetful", [0], "OSError: the door is locked"),
    ("workers", "forgetful", [0], "OSError: the door is locked"),
    ("workers", "mortal", [0, 2, 4], "SIGKILL"),  # all of its worker
  ],
)
def test_what_cannot_be_brought_back_is_told_and_begins_anew(
  make: Make, caplog, kind: str, toy: str, gone, account: str
):
  envs = make(kind, toy)
  episodes, newest = begun(envs, 10)
  assert not any(episodes[i].over for i in gone)
  resumed = make(kind, toy)
  caplog.clear()
  mask = resumed.resume(episodes, newest)
  assert np.flatnonzero(mask).tolist() == gone and mask.dtype == bool
  assert account in caplog.text and (not account or "environment" in caplog.text)
  assert resumed.faults == (toy == "mortal")
  assert [e.over for e in resumed.episodes()] == [e.over or i in gone for i, e in enumerate(episodes)]
  row = resumed.step(np.zeros((5, 2)))
  assert row.is_first[gone].all()
  assert [resumed.episodes()[i].number for i in gone] == [episodes[i].number + 1 for i in gone]
  kept = [i for i in range(5) if i not in gone]
  assert_equal_rows([row], [envs.step(np.zeros((5, 2)))], kept)
  assert_equal_rows(drive(resumed, 10, 1), drive(envs, 10, 1), kept)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["place", "view", "reward", "is_terminal"])
def test_every_bit_of_the_newest_row_is_compared(make: Make, kind: str, field: str):
  episodes, newest = begun(make(kind))
  stream = next(i for i, e in enumerate(episodes) if not e.over)
  array = newest.observation[field] if field in newest.observation else getattr(newest, field)
  array.view(np.uint8).reshape(5, -1)[stream, 0] ^= 1  # the last bit of the number
  assert np.flatnonzero(make(kind).resume(episodes, newest)).tolist() == [stream]


def test_the_episode_that_follows_a_failed_worker_is_the_next(make: Make):
  envs, plain = make("workers", "mortal"), make("serial", "wander")
  episodes, newest = begun(plain, 10)
  gone = envs.resume(episodes, newest)
  assert gone[0] and envs.faults == 1
  row = envs.step(np.zeros((5, 2)))
  alone = make("serial", "wander", 1)
  for _ in range(episodes[0].number + 2):
    expected = alone.reset()
  np.testing.assert_array_equal(row.observation["place"][0], expected.observation["place"][0])


def test_a_worker_that_fails_after_a_resume_repeats_the_newest_row(make: Make):
  envs = make("workers", "crashing", 2)
  envs.reset()
  newest = drive(envs, 2, 0)[-1]
  resumed = make("workers", "crashing", 2)
  assert not resumed.resume(envs.episodes(), newest).any()
  row = resumed.step(np.array([[0.5, 0.75], [0, 0]]))
  np.testing.assert_array_equal(row.is_last, [True, False])
  np.testing.assert_array_equal(row.observation["clock"][0], newest.observation["clock"][0])


def test_seeds_of_episodes_stay_what_they_are():
  assert [episode_seed(seed, number) for seed, number in [(0, 0), (0, 1), (2**32 - 1, 7)]] == [
    2968811710,
    3964924996,
    2733820430,
  ]


def test_pixels_of_dm_control_go_on_too():
  config = EnvConfig(
    "dmc/cartpole_balance", 300, image_size=32, rendering="balanced", observations=("image", "velocity")
  )
  first, second = (make_batch(config, 2, 0, KINDS[kind]) for kind in ("serial", "workers"))
  try:
    episodes, newest = begun(first, 7)  # four steps are an episode
    assert [(e.number, len(e.actions)) for e in episodes] == [(1, 2)] * 2
    before = second.work.rendering
    assert not second.resume(episodes, newest).any()
    assert second.work.rendering > before
    assert_equal_rows(drive(second, 4, 1), drive(first, 4, 1))
  finally:
    first.close()
    second.close()
