from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamerax.offline import data
from dreamerax.recordings import EpisodeFolder
from dreamerax.replay.replay import ReplayConfig
from dreamerax.types import ArraySpec
from tests.recordings.test_folder import CONTINUOUS, make_episode

LATENTS = {"memory": ArraySpec((2,))}
CONFIG = ReplayConfig(capacity=1000, batch_size=4, batch_length=3, online=False, max_disk_bytes=0)


def folder(path: Path, count: int) -> EpisodeFolder:
  made = EpisodeFolder.create(path, CONTINUOUS)
  for index in range(count):
    made.write(make_episode(steps=4 + index, seed=index))
  return made


@pytest.mark.parametrize(("count", "share", "held_out"), [(10, 0.1, 1), (10, 0.3, 3), (2, 0.01, 1), (2, 0.99, 1)])
def test_a_share_is_held_out(count: int, share: float, held_out: int, tmp_path: Path):
  made = folder(tmp_path, count)
  one, again, other = (data.split(made, share, seed) for seed in (0, 0, 1))
  assert len(one.held_out) == held_out
  lengths = [[len(episode.reward) for episode in part] for part in one]
  assert sorted(lengths[0] + lengths[1]) == [4 + index for index in range(count)]  # each episode once
  assert one.steps == sum(lengths[0])
  assert lengths == [[len(episode.reward) for episode in part] for part in again]
  if count == 10:
    assert lengths != [[len(episode.reward) for episode in part] for part in other]


def test_too_little_is_refused(tmp_path: Path):
  with pytest.raises(ValueError, match="holds one episode, and one is held out: record another"):
    data.split(folder(tmp_path / "one", 1), 0.1, 0)
  for share in (0.0, 1.0, float("nan")):
    with pytest.raises(ValueError, match=r"held_out=.* must lie between 0 and 1"):
      data.split(folder(tmp_path / "two", 2), share, 0)
  with pytest.raises(
    ValueError, match=r"have 4 steps in all, and a sequence 5: record more, or lower --replay\.batch-length"
  ):
    data.make_replay([make_episode(steps=4)], CONTINUOUS, LATENTS, replace(CONFIG, batch_length=4), 0)


def test_too_much_is_refused():
  with pytest.raises(ValueError, match=r"replay\.capacity=5 is less than the 6 steps recorded: raise it"):
    data.make_replay([make_episode()], CONTINUOUS, LATENTS, replace(CONFIG, capacity=5), 0)
  with pytest.raises(ValueError, match=r"of the 12 steps recorded, 5 fit in memory .* raise --replay\.max-bytes"):
    data.make_replay([make_episode()] * 2, CONTINUOUS, LATENTS, replace(CONFIG, max_bytes=500), 0)


def test_the_replay_holds_all_episodes_in_order():
  episodes = [make_episode(seed=seed) for seed in range(3)]
  replay = data.make_replay(episodes, CONTINUOUS, LATENTS, replace(CONFIG, batch_length=17, batch_size=1), 0)
  batch, _ = replay.sample()  # the only sequence there is: all of it, behind one step of context
  for name in ("action", "reward", "is_first", "is_last", "is_terminal"):
    stored = np.concatenate([getattr(episode, name) for episode in episodes])[1:]
    np.testing.assert_array_equal(getattr(batch.steps, name)[0], stored)
  shown = np.concatenate([episode.observation["image"] for episode in episodes])[1:]
  np.testing.assert_array_equal(batch.steps.observation["image"][0], shown)
  assert replay.steps == replay.capacity == 18 and not batch.context["memory"].any()
