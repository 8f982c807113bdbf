from pathlib import Path

import numpy as np
import pytest

from dreamerax.envs import EnvConfig
from dreamerax.run_config import RunConfig
from dreamerax.viewer.starts import find_starts
from tests.envs.toys import wander
from tests.replay.logged import written

CONFIG = RunConfig(size="tiny", env_steps=1000, env=EnvConfig("tests.envs.toys:wander"))


def test_they_are_replayed_where_there_is_a_replay(tmp_path: Path):
  written(tmp_path / "replay", [10, 10], capacity=40)
  starts = find_starts(tmp_path, CONFIG, context=4, seed=0)
  assert "replayed" in starts.label
  start = starts.at(0.5)
  assert start.steps.observation["where"].tolist() == [[0, 5], [0, 6], [0, 7], [0, 8]]
  assert start.label == "environment 0, agent step 8"
  for file in (tmp_path / "replay").iterdir():
    file.unlink()
  with pytest.raises(ValueError, match="nothing whole there any more"):
    starts.at(0.5)


def test_they_are_of_the_newest_dealing_where_a_run_has_gone_on_with_other_hosts(tmp_path: Path):
  for folder, steps in (("", 10), ("1-0", 20), ("1-1", 20), ("2-0", 30), ("2-10", 20)):
    written(tmp_path / "replay" / folder, [steps], capacity=40)
  assert find_starts(tmp_path, CONFIG, context=4, seed=0).at(1.0).label == "environment 0, agent step 29"


def test_they_are_fresh_where_there_is_none(tmp_path: Path):
  starts = find_starts(tmp_path, CONFIG, context=4, seed=3)
  assert "fresh" in starts.label
  start, last = starts.at(0.0), starts.at(1.0)
  np.testing.assert_array_equal(start.steps.observation["place"][0], wander(0).reset(3).observation["place"])
  assert start.steps.is_first.tolist() == [True] and start.steps.action.shape == (1, 2)
  assert not np.array_equal(start.steps.observation["place"], last.steps.observation["place"])
  with pytest.raises(ValueError, match="where=-1"):
    starts.at(-1)
