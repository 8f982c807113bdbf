import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dreamerax.recordings import EpisodeFolder
from dreamerax.recordings.folder import SPEC
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition, to_columns

SHOWN = {"image": ArraySpec((4, 5, 3), "uint8"), "body/angles": ArraySpec((2,))}
CONTINUOUS, CHOICES = EnvSpec(SHOWN, ActionSpec(2)), EnvSpec(SHOWN, ActionSpec(3, discrete=True))


def make_episode(spec: EnvSpec = CONTINUOUS, steps: int = 6, seed: int = 0) -> Transition:
  rng = np.random.default_rng(seed)
  size, first = spec.action.size, np.arange(steps) == 0
  action = np.eye(size)[rng.integers(size, size=steps)] if spec.action.discrete else rng.uniform(-1, 1, (steps, size))
  return Transition(
    {
      "image": rng.integers(0, 256, (steps, 4, 5, 3), np.uint8),
      "body/angles": rng.normal(size=(steps, 2)).astype(np.float32),
    },
    (action * ~first[:, None]).astype(np.float32),
    (rng.normal(size=steps) * ~first).astype(np.float32),
    first,
    np.arange(steps) == steps - 1,
    (np.arange(steps) == steps - 1) & (seed == 1),
  )


def assert_equal(one: Transition, other: Transition) -> None:
  one_arrays, other_arrays = to_columns(one), to_columns(other)
  assert one_arrays.keys() == other_arrays.keys()
  for name, array in one_arrays.items():
    assert array.dtype == other_arrays[name].dtype and np.array_equal(array, other_arrays[name]), name


@pytest.mark.parametrize("spec", [CONTINUOUS, CHOICES])
def test_episodes_come_back_as_they_were(spec: EnvSpec, tmp_path: Path):
  written = [make_episode(spec, steps, seed) for seed, steps in enumerate((2, 9, 5))]
  folder = EpisodeFolder.create(tmp_path / "new" / "folder", spec, {"env": {"task": "mine", "sizes": (1, 2)}})
  for episode in written:
    folder.write(episode)
  again = EpisodeFolder(tmp_path / "new" / "folder")
  assert again.spec == spec and again.about == {"env": {"task": "mine", "sizes": [1, 2]}}
  for one, other in zip(written, again.read_all(), strict=True):
    assert_equal(one, other)


def test_the_format_is_what_the_page_says(tmp_path: Path):
  """Written by hand, without this package, as docs/world-model.md tells a user to."""
  action = {"size": 1, "discrete": False}
  spec = {"format": "dreamerax episodes 1", "observation": {"x": {"shape": [1], "dtype": "float32"}}, "action": action}
  (tmp_path / "spec.json").write_text(json.dumps({**spec, "about": {}}))
  flags = {"is_first": np.array([True, False]), "is_last": np.array([False, True]), "is_terminal": np.zeros(2, bool)}
  numbers = {"observation/x": np.ones((2, 1), np.float32), "action": np.array([[0], [1]], np.float32)}
  np.savez(tmp_path / "any name.npz", **numbers, **flags, reward=np.array([0, 2], np.float32))
  (episode,) = EpisodeFolder(tmp_path).read_all()
  assert episode.reward[1] == 2 and episode.observation["x"].shape == (2, 1)


def test_no_episode_is_overwritten_or_half_there(tmp_path: Path):
  folder, other = EpisodeFolder.create(tmp_path, CONTINUOUS), EpisodeFolder.create(tmp_path, CONTINUOUS)
  (tmp_path / "episode-000004.npz").write_bytes(b"mine")
  files = [folder.write(make_episode()), other.write(make_episode()), folder.write(make_episode())]
  assert [file.name for file in files] == [f"episode-00000{number}.npz" for number in (5, 6, 7)]
  assert (tmp_path / "episode-000004.npz").read_bytes() == b"mine"
  assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".json"}  # nothing temporary is left


def test_two_recorders_at_once_do_not_take_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  folder = EpisodeFolder.create(tmp_path, CONTINUOUS)
  folder.write(make_episode())
  monkeypatch.setattr(EpisodeFolder, "files", lambda self: [])  # as the other saw it a moment ago
  before = (tmp_path / "episode-000000.npz").read_bytes()
  assert folder.write(make_episode(seed=1)).name == "episode-000001.npz"
  assert (tmp_path / "episode-000000.npz").read_bytes() == before


def at(name: str, index: object, value: object):
  """An episode in which one entry is another."""

  def change(arrays: dict[str, np.ndarray]) -> None:
    arrays[name] = arrays[name].copy()
    arrays[name][index] = value

  return change


def instead(name: str, make):
  return lambda arrays: arrays.update({name: make(arrays[name])})


BAD = {
  "a missing key": (lambda arrays: arrays.pop("reward"), "reward is missing"),
  "a missing observation": (
    lambda arrays: arrays.pop("observation/image"),
    "observation/image is missing; it has action",
  ),
  "an unknown key": (
    lambda arrays: arrays.update(extra=np.zeros(6)),
    "extra is not in spec.json, which names observation",
  ),
  "another dtype": (instead("reward", lambda x: x.astype(np.float64)), "reward is float64, not float32: convert it"),
  "another picture": (
    instead("observation/image", lambda x: x[:, :3]),
    r"observation/image has the shape \(6, 3, 5, 3\), not \(6, 4, 5, 3\)",
  ),
  "another length": (instead("action", lambda x: x[:5]), r"action has the shape \(5, 2\), not \(6, 2\)"),
  "a number": (instead("reward", lambda x: x[0]), r"has the shape .* for the 0 steps of reward"),
  "an empty reward": (lambda arrays: arrays.update({k: v[:0] for k, v in arrays.items()}), "reward has 0 steps"),
  "a single step": (
    lambda arrays: arrays.update({k: v[:1] for k, v in arrays.items()}),
    "reward has 1 steps.* at least 2",
  ),
  "a reward that is nan": (at("reward", 3, np.nan), r"reward is not finite at step 3 \(nan\): leave the episode out"),
  "an infinite vector": (
    at("observation/body/angles", (2, 1), np.inf),
    "observation/body/angles is not finite at step 2",
  ),
  "an action outside": (at("action", (2, 0), 1.5), r"action is \[1.5 .* at step 2, outside \[-1, 1\]: scale"),
  "an action that is nan": (at("action", (2, 0), np.nan), "action is not finite at step 2"),
  "no beginning": (at("is_first", 0, False), "is_first is False at step 0: an episode begins"),
  "a second beginning": (at("is_first", 4, True), "is_first is True at step 4: store one episode a file"),
  "no end": (at("is_last", -1, False), "is_last is False at the last step, 5: mark it"),
  "an early end": (at("is_last", 2, True), "is_last is True at step 2 of 6"),
  "terminal before the end": (at("is_terminal", 2, True), "is_terminal is True at step 2, which is not the last"),
  "an action at reset": (at("action", (0, 1), 0.5), r"action is \[0.* 0.5\] at step 0, to which no action has led"),
  "a reward at reset": (at("reward", 0, 1), "reward is 1.0 at step 0.* store zero there"),
  "pickled objects": (
    instead("reward", lambda x: x.astype(object)),
    "reward cannot be read as a plain array.*numbers, not",
  ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_episode_is_refused_with_file_field_and_fix(name: str, tmp_path: Path):
  change, message = BAD[name]
  folder, arrays = EpisodeFolder.create(tmp_path, CONTINUOUS), to_columns(make_episode())
  folder.write(make_episode())
  change(arrays)
  np.savez(tmp_path / "second.npz", **arrays)  # type: ignore[arg-type]
  with pytest.raises(ValueError, match=message) as caught:
    folder.read_all()
  assert str(caught.value).startswith(f"{tmp_path / 'second.npz'}: ")


def test_a_choice_is_one_hot(tmp_path: Path):
  folder, arrays = EpisodeFolder.create(tmp_path, CHOICES), to_columns(make_episode(CHOICES))
  at("action", 3, (0, 0.5, 0.5))(arrays)
  np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
  with pytest.raises(ValueError, match=r"action is \[0.* at step 3, not one-hot over 3 choices: store"):
    folder.read_all()


def test_each_group_of_choices_is_one_hot(tmp_path: Path):
  levers = EnvSpec(SHOWN, ActionSpec(5, discrete=True, groups=(3, 2)))
  episode = make_episode(levers)
  action = np.concatenate([np.eye(3)[[0, 1, 2, 0, 1, 2]], np.eye(2)[[0, 1, 0, 1, 0, 1]]], -1).astype(np.float32)
  action[0] = 0
  folder = EpisodeFolder.create(tmp_path, levers)
  folder.write(episode._replace(action=action))
  assert EpisodeFolder(tmp_path).spec == levers
  np.testing.assert_array_equal(EpisodeFolder(tmp_path).read_all()[0].action, action)
  action[4] = 0, 1, 1, 0, 0
  with pytest.raises(ValueError, match=r"action is \[0.* at step 4, not one-hot over 3 and 2 choices: store"):
    folder.write(episode._replace(action=action))


def test_groups_may_be_left_out_of_the_spec(tmp_path: Path):
  EpisodeFolder.create(tmp_path, CHOICES)
  data = json.loads((tmp_path / SPEC).read_text())
  del data["action"]["groups"]
  (tmp_path / SPEC).write_text(json.dumps(data))
  assert EpisodeFolder(tmp_path).spec == CHOICES


def test_nothing_bad_is_written(tmp_path: Path):
  folder, episode = EpisodeFolder.create(tmp_path, CONTINUOUS), make_episode()
  with pytest.raises(ValueError, match="is_last is False"):
    folder.write(episode._replace(is_last=np.zeros(6, bool)))
  assert folder.files() == []


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_is_named(damage: bytes | None, tmp_path: Path):
  folder = EpisodeFolder.create(tmp_path, CONTINUOUS)
  file = folder.write(make_episode())
  content = bytearray(file.read_bytes())
  content[len(content) // 3] ^= 255
  file.write_bytes(bytes(content) if damage is None else damage)
  with pytest.raises(ValueError, match=re.escape(str(file)) + ".*restore it"):
    folder.read_all()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"format": "episodes 7"}, "format is 'episodes 7': this version reads"),
    ({"action": {"size": 2}}, "KeyError.*discrete.*it needs"),
    (
      {"action": {"size": 4, "discrete": True, "groups": [3, 2]}},
      r"groups=\(3, 2\) must be .* add up to size=4.*it needs",
    ),
    ({"action": {"size": 4, "discrete": True, "groups": ["x"]}}, "it needs"),
    ({"observation": {"image": {"shape": [4, 4], "dtype": "uint8"}}}, r"spec.observation\['image'\] is uint8 \[4, 4\]"),
    ({"observation": {}}, "spec.observation is empty"),
    ({"observation": [1]}, "it needs"),
  ],
)
def test_a_bad_spec_is_refused(change: dict, message: str, tmp_path: Path):
  EpisodeFolder.create(tmp_path, CONTINUOUS)
  data = json.loads((tmp_path / SPEC).read_text())
  (tmp_path / SPEC).write_text(json.dumps({**data, **change}))
  with pytest.raises(ValueError, match=message) as caught:
    EpisodeFolder(tmp_path)
  assert str(caught.value).startswith(str(tmp_path / SPEC))


def test_a_spec_that_is_no_json_is_named(tmp_path: Path):
  (tmp_path / SPEC).write_text('{"format"')
  with pytest.raises(ValueError, match=re.escape(str(tmp_path / SPEC)) + ": it cannot be read"):
    EpisodeFolder(tmp_path)


def test_a_folder_without_episodes_is_refused(tmp_path: Path):
  with pytest.raises(ValueError, match=r"has no spec\.json: name the folder"):
    EpisodeFolder(tmp_path / "nowhere")
  with pytest.raises(ValueError, match=r"holds no episode \(\*\.npz\): record some"):
    EpisodeFolder.create(tmp_path, CONTINUOUS).read_all()


def test_a_folder_keeps_one_kind_of_episode(tmp_path: Path):
  EpisodeFolder.create(tmp_path, CONTINUOUS, {"env": {"action_repeat": 2}})
  with pytest.raises(ValueError, match=r"its spec is .*: choose another folder"):
    EpisodeFolder.create(tmp_path, CHOICES, {"env": {"action_repeat": 2}})
  with pytest.raises(ValueError, match=r"its source is .*: choose another folder"):
    EpisodeFolder.create(tmp_path, CONTINUOUS, {"env": {"action_repeat": 4}})
  with pytest.raises(ValueError, match="a name kept for transitions"):
    EpisodeFolder.create(tmp_path / "b", dataclasses.replace(CONTINUOUS, observation={"reward": ArraySpec((1,))}))


def test_episodes_without_a_spec_are_not_given_one(tmp_path: Path):
  (tmp_path / "a.npz").write_bytes(b"")
  with pytest.raises(ValueError, match=r"has \.npz files and no spec\.json"):
    EpisodeFolder.create(tmp_path, CONTINUOUS)
