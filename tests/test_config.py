"""A run's config.json: what is written is read back, and what cannot be read is named."""

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import dreamerax
from dreamerax import presets
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.config import from_dict, nearest, to_dict
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.nets.decoders import StridedDecoder
from dreamerax.nets.heads import NormalHead, TruncatedNormalActor
from dreamerax.ops.optimizers import Adam
from dreamerax.presets import PRESETS
from dreamerax.run_config import RunConfig
from dreamerax.world_model.objectives.kl import BalancedKL
from dreamerax.world_model.objectives.reconstruction import Reconstruction

PAIRS = [(name, size) for name, preset in PRESETS.items() for size in preset.sizes]


def stored() -> dict[str, Any]:
  return json.loads(json.dumps(to_dict(presets.build("dreamer-v3", "1m"))))


def changed(path: str, value: Any) -> dict[str, Any]:
  """What is stored, with the field at "a.b.c" set to `value`."""
  data = copy.deepcopy(stored())
  *parents, last = path.split(".")
  node = data
  for name in parents:
    node = node[name]
  node[last] = value
  return data


@pytest.mark.parametrize(("name", "size"), PAIRS)
def test_every_preset_survives_json(name: str, size: str):
  config = presets.build(name, size)
  assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_a_part_of_another_class_survives_json():
  config = presets.build("dreamer-v3", "1m")
  dynamics = replace(config.agent.world_model.dynamics, stochastic=Gaussian(dims=7))
  world_model = replace(config.agent.world_model, dynamics=dynamics)
  config = replace(config, agent=replace(config.agent, world_model=world_model))
  read = from_dict(RunConfig, json.loads(json.dumps(to_dict(config))))
  assert read == config
  assert isinstance(read.agent.world_model.dynamics, RSSM) and read.agent.world_model.dynamics.stochastic.size == 7


def test_the_parts_of_the_older_methods_survive_json():
  config = presets.build("dreamer-v3", "1m")
  objectives = {"kl": BalancedKL(), "reconstruction": Reconstruction(StridedDecoder(activation="elu"))}
  world_model = replace(config.agent.world_model, objectives=objectives, reward=NormalHead(layers=2))
  behavior = ActorCritic(actor=TruncatedNormalActor(), critic=NormalHead(), actor_optimizer=Adam(8e-5, decay=1e-6))
  agent = replace(config.agent, world_model=world_model, behavior=behavior, optimizer=Adam(6e-4))
  config = replace(config, agent=agent)
  assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
  ("path", "value", "message"),
  [
    ("num_environments", 3, r"config\.num_environments: RunConfig .* no such field; did you mean num_envs"),
    ("agent.optimizer.learning_rat", 1e-3, r"config\.agent\.optimizer\.learning_rat: .*did you mean learning_rate"),
    ("num_envs", "three", r"config\.num_envs='three': must be of type int"),
    ("num_envs", True, r"config\.num_envs=True: must be of type int"),
    ("num_envs", 1.5, r"config\.num_envs=1\.5: must be of type int"),
    ("env.task", 4, r"config\.env\.task=4: must be of type str"),
    (
      "env.rendering",
      "pretty",
      r"config\.env\.rendering='pretty': must be one of 'published', 'balanced', 'coarse', 'fast'",
    ),
    ("env.observations", "image", r"config\.env\.observations='image': must be a list"),
    ("env", [], r"config\.env: expected the fields of EnvConfig, got \[\]"),
    ("num_envs", 0, r"config: num_envs=0 must be at least 1"),
    ("agent.optimizer.learning_rate", -1, r"config\.agent\.optimizer: learning_rate=-1\.0 must be more than 0"),
    ("agent.world_model.dynamics.part", "RSM", r"config\.agent\.world_model\.dynamics: no Dynamics .*'RSM'.*mean RSSM"),
    ("agent.behavior.part", "RSSM", r"config\.agent\.behavior: no Behavior is called 'RSSM'"),
  ],
)
def test_what_cannot_be_read_is_named(path: str, value: Any, message: str):
  with pytest.raises(ValueError, match=message):
    from_dict(RunConfig, changed(path, value))


def test_a_missing_field_is_named():
  data = stored()
  del data["agent"]["behavior"]["horizon"]
  with pytest.raises(ValueError, match=r"config\.agent\.behavior\.horizon: is missing.*ActorCritic"):
    from_dict(RunConfig, data)


def test_only_imported_dataclasses_are_built():
  with pytest.raises(ValueError, match=r"no ActorCritic is called 'os\.system'"):
    from_dict(ActorCritic, {"part": "os.system"})


def test_whole_numbers_stand_for_floats_and_none_for_what_is_optional():
  @dataclass(frozen=True)
  class Part:
    rate: float
    limit: int | None = None
    names: tuple[str, ...] = ()

  assert from_dict(Part, {"part": "Part", "rate": 1, "limit": None, "names": ["a"]}) == Part(1.0, None, ("a",))
  assert isinstance(from_dict(Part, {"rate": 1, "limit": 2, "names": []}).rate, float)


def test_nearest_names_are_few_and_only_close_ones():
  assert nearest("quik", ["quick", "dreamer-v3"]) == "; did you mean quick?"
  assert nearest("zzz", ["quick", "dreamer-v3"]) == ""


def test_fields_are_changed_by_their_paths():
  config = dreamerax.preset(
    "quick",
    changes={
      "env.task": "dmc/cheetah_run",
      "env.observations": ("image", "position"),
      "agent.optimizer": Adam(1e-2),
      "agent.optimizer.clip": 7,
    },
  )
  assert config.env.task == "dmc/cheetah_run" and config.env.observations == ("image", "position")
  assert config.agent.optimizer == Adam(1e-2, clip=7.0)
  assert dreamerax.preset("quick") == presets.build("quick")


@pytest.mark.parametrize(
  ("path", "value", "message"),
  [
    ("env.tsk", "a", r"config\.env\.tsk: .*did you mean task"),
    ("agnt.optimizer.clip", 1, r"agnt\.optimizer\.clip: there is no part 'agnt'; did you mean agent"),
    ("size.of", 1, "there is no part 'size'"),
    ("env_steps", "many", "env_steps='many': must be of type int"),
    ("env_steps", 0, "env_steps=0 must be at least 1"),
  ],
)
def test_a_change_that_does_not_fit_is_named(path: str, value: Any, message: str):
  with pytest.raises(ValueError, match=message):
    dreamerax.preset("quick", changes={path: value})


@pytest.mark.parametrize("name", ["rendering", "observations"])
def test_a_change_that_does_not_apply_to_the_task_is_refused(name: str):
  value = {"rendering": "fast", "observations": ("image", "position")}[name]
  changes = {"env.task": "gym/CartPole-v1", f"env.{name}": value}
  with pytest.raises(ValueError, match=rf"^{name}=.* is for dmc/.*, and task='gym/CartPole-v1' shows what it shows"):
    dreamerax.preset("quick", changes=changes)
  assert dreamerax.preset("quick", changes={"env.task": "gym/CartPole-v1"}).env.task == "gym/CartPole-v1"


def test_what_a_program_imports_is_listed():
  assert set(dreamerax.__all__) <= set(dir(dreamerax))
  assert all(getattr(dreamerax, name) is not None for name in dreamerax.__all__)
  assert (Path(dreamerax.__file__).parent / "py.typed").is_file()
