import json
from pathlib import Path

import numpy as np
import pytest

from dreamerax import cli, envs
from dreamerax.envs import EnvConfig, WorkerConfig
from dreamerax.envs.faults import NotFinite
from dreamerax.envs.quota import episodes_each
from dreamerax.recordings import EpisodeFolder, RecordedEnv, record, uniform
from dreamerax.types import to_columns
from tests.envs.toys import Wander

WANDER = EnvConfig("tests.envs.toys:wander")


def recorded(folder: Path, config: EnvConfig = WANDER, *, episodes: int = 7, workers: WorkerConfig | None = None):
  batch = envs.make_batch(config, len(episodes_each(episodes, 3)), 5, workers)
  try:
    return record(batch, uniform(batch.spec, 1), EpisodeFolder.create(folder, batch.spec), episodes=episodes)
  finally:
    batch.close()


@pytest.mark.parametrize(("episodes", "num_envs"), [(7, 3), (2, 5), (9, 3), (1, 1)])
def test_episodes_are_dealt_out_evenly(episodes: int, num_envs: int):
  quota = episodes_each(episodes, num_envs)
  assert quota.sum() == episodes and len(quota) <= num_envs and quota.max() - quota.min() <= 1 and quota.min() > 0


def test_what_is_recorded_is_what_the_environment_did(tmp_path: Path):
  files = recorded(tmp_path)
  assert len(files) == 7
  for episode in EpisodeFolder(tmp_path).read_all():  # Wander's reward: the place that the action led to
    place = episode.observation["place"]
    np.testing.assert_allclose(episode.reward[1:], place[1:, 0], rtol=1e-6)
    assert episode.is_terminal[-1] and 3 <= len(place) <= 8


def test_an_action_belongs_to_the_step_that_it_led_to(tmp_path: Path):
  class Echo(Wander):
    def _step(self, reward):
      step = super()._step(reward)
      place = self.actions[-1] if self.clock else np.zeros(2)
      return step._replace(observation={**step.observation, "place": np.asarray(place, np.float32)}, reward=0.0)

  env, rng = RecordedEnv(Echo(0), tmp_path, {"by": "hand"}), np.random.default_rng(0)
  for _ in range(3):
    step = env.reset()
    while not step.is_last:
      step = env.step(rng.uniform(-2, 2, 2))  # beyond the bounds, to which the environment clips
  env.reset()
  env.close()
  folder = EpisodeFolder(tmp_path)
  episodes = folder.read_all()
  assert len(episodes) == 3 and folder.about == {"by": "hand"}  # not the one that has not ended
  for episode in episodes:
    np.testing.assert_array_equal(episode.action, episode.observation["place"])


def test_workers_record_the_same(tmp_path: Path):
  """Also that rows are copied: what workers show is overwritten two steps later."""
  recorded(tmp_path / "here")
  recorded(tmp_path / "there", workers=WorkerConfig(count=2))
  here, there = (EpisodeFolder(tmp_path / name).read_all() for name in ("here", "there"))
  for one, other in zip(here, there, strict=True):
    for name, array in to_columns(one).items():
      np.testing.assert_array_equal(array, to_columns(other)[name], err_msg=name)


def test_the_command_records_any_environment_and_adds_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  line = ["record", "--task", "gym/CartPole-v1", "--episodes", "3", "--num-envs", "2", "--out", str(tmp_path / "poles")]
  assert cli.main(line) == 0 and cli.main(line) == 0
  assert "3 episodes more" in capsys.readouterr().out
  folder = EpisodeFolder(tmp_path / "poles")
  episodes = folder.read_all()
  assert folder.about["env"]["task"] == "gym/CartPole-v1"
  assert len(episodes) == 6 and all(episode.is_terminal[-1] for episode in episodes)
  firsts = [next(iter(episode.observation.values()))[0].tobytes() for episode in episodes]
  assert len(set(firsts)) == 6  # the second call does not play the first one's again
  assert cli.main([*line, "--action-repeat", "2"]) == 2
  assert "its source is" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("--episodes 0", "episodes=0 must be at least 1"),
    ("--num-envs 0", "--num-envs=0"),
    ("--seed -1", "seed=-1"),
    ("--task walker", "task='walker' is neither"),
    ("--policy nowhere", "nowhere is not a run directory"),
  ],
)
def test_mistakes_are_refused_before_anything_is_written(line, message, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  try:
    status = cli.main(["record", *line.split()])
  except SystemExit as end:
    status = end.code
  printed = capsys.readouterr()
  assert status == 2 and message in " ".join((printed.out + printed.err).split())
  assert not list(tmp_path.iterdir())


def test_the_spec_is_json_that_people_can_read(tmp_path: Path):
  recorded(tmp_path, episodes=1)
  assert json.loads((tmp_path / "spec.json").read_text())["observation"]["view"] == {
    "shape": [2, 2, 1],
    "dtype": "uint8",
  }


def test_a_wrong_answer_in_a_loop_of_ones_own_is_not_recorded(tmp_path: Path):
  class Wrong(Wander):
    def step(self, action):
      return super().step(action)._replace(reward=np.nan)

  env = RecordedEnv(Wrong(0), tmp_path)
  env.reset(0)
  with pytest.raises(NotFinite, match="step 1 of its episode: the reward is nan"):
    env.step(np.zeros(2))
