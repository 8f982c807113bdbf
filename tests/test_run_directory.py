"""config.json: what is written, what is noticed, and what an older one lacks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from dreamerax import api, config_file, presets
from dreamerax.behavior.achiever import Achiever
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.fitted_q import FittedQ
from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewards.temporal import TemporalDistance
from dreamerax.behavior.uniform import Uniform
from dreamerax.config import to_dict
from dreamerax.dynamics.linear_system import LinearSystem
from dreamerax.nets.spatial import SpatialSoftmaxEncoder
from dreamerax.ops.optimizers import Adam
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.checkpoint.folder import FOLDER
from dreamerax.runtime.checkpoint.metadata import SAVED, RunState
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from dreamerax.world_model.model import WorldModel

SPEC = EnvSpec({"image": ArraySpec((16, 16, 3), "uint8")}, ActionSpec(2))


def write(logdir: Path, **changes) -> str:
  config = presets.build("quick", None)
  there = RunDirectory.find(logdir)
  stored = {} if there is None else there.stored
  return config_file.write(replace(config, **changes), SPEC, logdir, "quick", stored=stored).checksum


def save(logdir: Path, checksum: str) -> None:
  folder = logdir / FOLDER / "10"
  folder.mkdir(parents=True, exist_ok=True)
  (folder / SAVED).write_text(json.dumps({"saved": RunState.nothing(0)._replace(config=checksum).to_json()}))


def edit(logdir: Path, **changes) -> None:
  path = logdir / "config.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_that_goes_on_alike_writes_nothing(tmp_path: Path):
  write(tmp_path)
  before = (tmp_path / "config.json").stat()
  write(tmp_path)
  after = (tmp_path / "config.json").stat()
  assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # reading may change its access time


def test_a_config_that_knows_no_groups_of_choices_is_read(tmp_path: Path):
  write(tmp_path)
  spec = json.loads((tmp_path / "config.json").read_text())["spec"]
  edit(tmp_path, checksum="edited", spec={**spec, "action": {"part": "ActionSpec", "size": 3, "discrete": True}})
  assert RunDirectory.open(tmp_path).spec.action == ActionSpec(3, discrete=True, groups=(3,))
  edit(tmp_path, spec={**spec, "action": {"size": 4, "discrete": True, "groups": [3, 2]}})
  with pytest.raises(ValueError, match=r"spec\.action: groups=\(3, 2\) must be .* add up to size=4"):
    _ = RunDirectory.open(tmp_path).spec


def test_checkpoints_of_earlier_settings_stay_known(tmp_path: Path):
  first = write(tmp_path)
  save(tmp_path, first)
  assert write(tmp_path, env_steps=77_000) != first
  RunDirectory.open(tmp_path).check_checkpoints_know_config()
  edit(tmp_path, checksum="edited", preset="mine")
  RunDirectory.open(tmp_path).check_checkpoints_know_config()
  last = write(tmp_path, env_steps=78_000)
  RunDirectory.open(tmp_path).check_checkpoints_know_config()
  save(tmp_path, last)
  RunDirectory.open(tmp_path).check_checkpoints_know_config()
  save(tmp_path, "another")
  with pytest.raises(ValueError, match=r"config\.json is not the one that the newest checkpoint was saved with"):
    RunDirectory.open(tmp_path).check_checkpoints_know_config()


def test_every_digit_is_under_the_checksum(tmp_path: Path):
  write(tmp_path)
  path = tmp_path / "config.json"
  text = path.read_bytes()
  for place in [i for i, byte in enumerate(text) if chr(byte).isdigit()]:
    flipped = bytearray(text)
    flipped[place] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"config\.json (is not|has format)"):
      RunDirectory.open(tmp_path)


def test_a_config_of_an_older_version_is_read_and_gets_its_records(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  old = {name: data[name] for name in ("preset", "spec", "config")}
  (tmp_path / "config.json").write_text(json.dumps(old))
  save(tmp_path, "")
  RunDirectory.open(tmp_path).check_checkpoints_know_config()
  assert api.load_config(tmp_path) == presets.build("quick", None)
  write(tmp_path)
  new = json.loads((tmp_path / "config.json").read_text())
  assert new["started"] is None and new["continued"][0]["version"] == data["started"]["version"]
  write(tmp_path)
  assert json.loads((tmp_path / "config.json").read_text()) == new


def test_a_config_that_leads_elsewhere_is_refused(tmp_path: Path):
  write(tmp_path / "mine")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "config.json").symlink_to(tmp_path / "mine" / "config.json")
  with pytest.raises(ValueError, match=r"run/config\.json is a symbolic link"):
    RunDirectory.open(tmp_path / "run")


def test_what_an_earlier_format_says_of_images_is_converted(tmp_path: Path):
  """Image sizes were those of dmc/ alone, which ignored them elsewhere; evaluations had no limit."""
  write(tmp_path)
  config = json.loads((tmp_path / "config.json").read_text())["config"]
  for name in ("grey", "channels_first"):
    del config["env"][name]
  for name in ("eval_max_steps", "log"):
    del config["loop"][name]
  for task, size, read in (
    ("dmc/walker_walk", 64, None),
    ("dmc/walker_walk", 32, 32),
    ("gym/CartPole-v1", 64, None),
    ("gym/CartPole-v1", 32, None),
  ):
    config["env"] |= {"task": task, "image_size": size}
    (tmp_path / "config.json").write_text(json.dumps({"preset": "quick", "spec": None, "config": config}))
    found = api.load_config(tmp_path)
    assert (found.env.image_size, found.env.grey, found.env.channels_first) == (read, False, False)
    assert (found.loop.eval_max_steps, found.loop.log) == (0, ())
    assert RunDirectory.open(tmp_path).outline.env == found.env


def test_parts_and_fields_of_earlier_names_are_read(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  agent = data["config"]["agent"]
  agent["behavior"]["trace"] = 0.5
  del agent["behavior"]["return_lambda"]
  data |= {"format": 3, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  behavior = api.load_config(tmp_path).agent.behavior
  assert isinstance(behavior, ActorCritic) and behavior.return_lambda == 0.5
  agent["behavior"] = {"part": "Chance"}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path).agent.behavior == Uniform()


def test_episodes_of_earlier_formats_began_where_the_task_says(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  del data["config"]["env"]["exploring_starts"]
  data |= {"format": 4, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path).env.exploring_starts is False


def test_sequences_of_earlier_formats_began_anywhere_and_candidates_were_as_drawn(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  del data["config"]["replay"]["draw"]
  planner = {name: value for name, value in to_dict(MPPI()).items() if name != "smoothing"}
  data["config"]["agent"]["behavior"] = {**to_dict(Planning()), "planner": planner}
  data |= {"format": 5, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  config = api.load_config(tmp_path)
  assert config.replay.draw == "uniform" and config.agent.behavior == Planning(MPPI())


def test_episodes_of_earlier_formats_had_no_conditions(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  del data["config"]["env"]["conditions"]
  data |= {"format": 6, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path).env.conditions == 0


def test_iterations_of_earlier_formats_saw_the_newest_episodes_alone(tmp_path: Path):
  run = presets.build("local-lqr")
  config_file.write(run, SPEC, tmp_path, "local-lqr", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  config = data["config"]
  del config["replay"]["older"], config["schedule"]["warmup"]
  for name in ("warmup", "older", "prior"):
    del config["agent"]["behavior"]["inner"][name]
  data |= {"format": 7, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


def test_temporal_distances_of_earlier_formats_were_means(tmp_path: Path):
  run = presets.build("her")
  assert isinstance(run.agent.behavior, Achiever) and isinstance(run.agent.behavior.reward, TemporalDistance)
  mean = replace(run.agent.behavior, reward=replace(run.agent.behavior.reward, expectile=0.5))
  run = replace(run, agent=replace(run.agent, behavior=mean))
  config_file.write(run, SPEC, tmp_path, "her", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  del data["config"]["agent"]["behavior"]["reward"]["expectile"]
  data |= {"format": 8, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


def test_linear_systems_of_earlier_formats_began_at_the_unit_gaussian(tmp_path: Path):
  run = presets.build("solar")
  assert isinstance(run.agent.world_model, WorldModel) and isinstance(run.agent.world_model.dynamics, LinearSystem)
  dynamics = replace(run.agent.world_model.dynamics, first_std=1.0, start_push=None)
  run = replace(run, agent=replace(run.agent, world_model=replace(run.agent.world_model, dynamics=dynamics)))
  config_file.write(run, SPEC, tmp_path, "solar", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  for name in ("first_std", "start_push"):
    del data["config"]["agent"]["world_model"]["dynamics"][name]
  data |= {"format": 9, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


def test_the_rewards_of_plans_of_earlier_formats_counted_alike(tmp_path: Path):
  run = presets.build("planet")
  assert isinstance(run.agent.behavior, Planning) and run.agent.behavior.final_weight == 1
  config_file.write(run, SPEC, tmp_path, "planet", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  del data["config"]["agent"]["behavior"]["final_weight"]
  data |= {"format": 10, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


def test_feature_points_of_earlier_formats_had_convolutions_without_padding(tmp_path: Path):
  run = presets.build("guided-policy")
  config_file.write(run, SPEC, tmp_path, "guided-policy", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  assert data["config"]["agent"]["behavior"]["encoder"].pop("padding") == "none"
  data |= {"format": 11, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


@pytest.mark.parametrize(("padded", "padding"), [(True, "grey"), (False, "none")])
def test_the_padding_of_feature_points_of_earlier_formats_was_grey(
  tmp_path: Path, padded: bool, padding: Literal["grey", "none"]
):
  run = presets.build("spatial-autoencoder")
  assert isinstance(run.agent.world_model, WorldModel)
  encoder = SpatialSoftmaxEncoder(depths=(16, 16, 16), padding=padding)
  run = replace(run, agent=replace(run.agent, world_model=replace(run.agent.world_model, encoder=encoder)))
  config_file.write(run, SPEC, tmp_path, "spatial-autoencoder", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  assert data["config"]["agent"]["world_model"]["encoder"].pop("padding") == padding
  data["config"]["agent"]["world_model"]["encoder"]["padded"] = padded
  data |= {"format": 12, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


def test_adam_and_fitted_q_of_earlier_formats_had_less(tmp_path: Path):
  run = presets.build("deep-fitted-q")
  run = replace(run, agent=replace(run.agent, behavior=FittedQ(), optimizer=Adam()))
  config_file.write(run, SPEC, tmp_path, "deep-fitted-q", stored={})
  data = json.loads((tmp_path / "config.json").read_text())
  agent = data["config"]["agent"]
  assert agent["behavior"].pop("fourier", 0) is None
  assert agent["optimizer"].pop("l2") == agent["behavior"]["optimizer"].pop("l2") == 0
  data |= {"format": 12, "checksum": None}
  (tmp_path / "config.json").write_text(json.dumps(data))
  assert api.load_config(tmp_path) == run


OLDER = {"version": "0.0.9", "commit": "0123456789abcdef"}


@pytest.mark.parametrize(
  ("records", "named"),
  [
    ({"started": OLDER}, r"dreamerax 0\.0\.9 \(commit 0123456789ab\)"),
    ({"started": {}, "continued": [OLDER, {**OLDER, "version": "0.0.10"}]}, r"dreamerax 0\.0\.10 \(commit"),
    ({}, r"dreamerax 0\.1\.0 of before 28 November 2026"),
  ],
)
def test_a_config_that_cannot_be_read_names_the_version_that_wrote_it(tmp_path: Path, records: dict, named: str):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  for name in ("checksum", "started", "continued"):
    del data[name]
  del data["config"]["agent"]["optimizer"]["learning_rate"]
  data["config"]["env"]["unknown"] = 3
  (tmp_path / "config.json").write_text(json.dumps({**data, **records}))
  run = RunDirectory.open(tmp_path)
  for read, field in ((lambda: run.config, "config.*"), (lambda: run.outline, "config.env.unknown")):
    with pytest.raises(
      ValueError, match=rf"^{field}: .*; config\.json is of {named}.*, and this is dreamerax .* use that"
    ):
      read()


def test_an_agent_from_before_objectives_had_names_is_refused_and_the_rest_of_its_run_is_read(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  world_model = data["config"]["agent"]["world_model"]
  objectives = world_model.pop("objectives")
  world_model |= {"decoder": objectives["reconstruction"]["decoder"], "kl": objectives["kl"], "overshooting": None}
  data |= {"format": 1, "checksum": None, "started": OLDER}
  (tmp_path / "config.json").write_text(json.dumps(data))
  with pytest.raises(
    ValueError, match=r"agent\.world_model\.decoder: .* no such field.* is of dreamerax 0\.0\.9 \(commit"
  ):
    api.load_config(tmp_path)
  assert RunDirectory.open(tmp_path).outline.env == presets.build("quick").env


def test_what_a_person_has_changed_is_no_other_version(tmp_path: Path):
  write(tmp_path)
  edit(tmp_path, checksum="edited", started=OLDER, config={})
  with pytest.raises(ValueError, match=r"^config\.\w+: is missing; this version of RunConfig needs it$"):
    api.load_config(tmp_path)


def test_a_config_of_a_later_format_names_its_version(tmp_path: Path):
  write(tmp_path)
  edit(tmp_path, checksum="edited", format=99, continued=[{"version": "7.1.0", "commit": None}])
  with pytest.raises(
    ValueError, match=r"config\.json has format 99 of dreamerax 7\.1\.0, .* which reads up to format \d"
  ):
    RunDirectory.open(tmp_path)
  edit(tmp_path, format="x")
  with pytest.raises(ValueError, match=r"format='x' is not what dreamerax writes"):
    RunDirectory.open(tmp_path)
