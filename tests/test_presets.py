"""The figures of the published method, and which sizes there are."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from dreamerax import presets
from dreamerax.agent import Agent
from dreamerax.behavior.policy_gradient import Reinforce
from dreamerax.ops.optimizers import LaProp
from dreamerax.presets import PRESETS, build
from dreamerax.run_config import RunConfig
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

WALKER = EnvSpec({"image": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(6))

# deter, hidden, classes, depth, units; optimised parameters on walker_walk from pixels. The counts of 1m and 12m are the
# published implementation's, the others what these widths give here.
DREAMER_V3 = {
  "1m": (512, 64, 4, 4, 64, 686_846),
  "12m": (2048, 256, 16, 16, 256, 10_494_158),
  "25m": (3072, 384, 24, 24, 384, 23_489_326),
  "50m": (4096, 512, 32, 32, 512, 41_650_062),
  "100m": (6144, 768, 48, 48, 768, 93_468_238),
  "200m": (8192, 1024, 64, 64, 1024, 165_948_686),
  "400m": (12288, 1536, 96, 96, 1536, 372_896_398),
}

LAPROP = LaProp(learning_rate=4e-5, clip=0.3, eps=1e-20, beta1=0.9, beta2=0.999, warmup=1000)

# Figures that are the same at every size.
PUBLISHED: dict[str, Any] = {
  "num_envs": 16,
  "env.action_repeat": 2,
  "env.image_size": None,
  "env.rendering": "published",
  "replay.batch_size": 16,
  "replay.batch_length": 64,
  "replay.context": 1,
  "replay.capacity": 5_000_000,
  "replay.online": True,
  "schedule.ratio": 512.0,
  "loop.prefill_steps": 2048,
  "agent.world_model.encoder.mults": (2, 3, 4, 4),
  "agent.world_model.encoder.kernel": 5,
  "agent.world_model.objectives.reconstruction.decoder.mults": (2, 3, 4, 4),
  "agent.world_model.objectives.reconstruction.decoder.kernel": 5,
  "agent.world_model.objectives.reconstruction.decoder.blocks": 8,
  "agent.world_model.dynamics.blocks": 8,
  "agent.world_model.dynamics.prior_layers": 2,
  "agent.world_model.dynamics.stochastic.groups": 32,
  "agent.world_model.dynamics.stochastic.unimix": 0.01,
  "agent.world_model.reward.layers": 1,
  "agent.world_model.reward.bins": 255,
  "agent.world_model.continues.layers": 1,
  "agent.world_model.discount": 1 - 1 / 333,
  "agent.world_model.objectives.kl.free_nats": 1.0,
  "agent.world_model.objectives.kl.dynamics_scale": 1.0,
  "agent.world_model.objectives.kl.representation_scale": 0.1,
  "agent.behavior.actor.layers": 3,
  "agent.behavior.actor.min_std": 0.1,
  "agent.behavior.actor.max_std": 1.0,
  "agent.behavior.actor.output_scale": 0.01,
  "agent.behavior.critic.layers": 3,
  "agent.behavior.critic.bins": 255,
  "agent.behavior.gradient": Reinforce(),
  "agent.behavior.horizon": 15,
  "agent.behavior.return_lambda": 0.95,
  "agent.behavior.discount": 1 - 1 / 333,
  "agent.behavior.entropy_scale": 3e-4,
  "agent.behavior.slow_rate": 0.02,
  "agent.behavior.slow_scale": 1.0,
  "agent.behavior.replay_value_scale": 0.3,
  "agent.behavior.return_scale.rate": 0.01,
  "agent.behavior.return_scale.limit": 1.0,
  "agent.behavior.return_scale.low": 5.0,
  "agent.behavior.return_scale.high": 95.0,
  "agent.optimizer": LAPROP,
  "agent.behavior.actor_optimizer": LAPROP,
  "agent.behavior.critic_optimizer": LAPROP,
}


def figure(config: RunConfig, path: str) -> Any:
  value: Any = config
  for name in path.split("."):
    value = value[name] if isinstance(value, Mapping) else getattr(value, name)
  return value


@pytest.mark.parametrize("size", DREAMER_V3)
def test_dreamer_v3_has_the_published_figures(size: str):
  config = build("dreamer-v3", size)
  assert {path: figure(config, path) for path in PUBLISHED} == PUBLISHED
  world = config.agent.world_model
  deter, hidden, classes, depth, units, _ = DREAMER_V3[size]
  assert (world.dynamics.deter, world.dynamics.hidden, world.dynamics.stochastic.classes) == (deter, hidden, classes)
  decoder = world.objectives["reconstruction"].decoder
  assert world.encoder.depth == decoder.depth == depth
  behavior = config.agent.behavior
  assert {part.units for part in (world.reward, world.continues, behavior.actor, behavior.critic)} == {units}
  assert world.encoder.units == decoder.units == units


@pytest.mark.parametrize("size", DREAMER_V3)
def test_dreamer_v3_has_as_many_parameters_as_recorded(size: str):
  assert Agent(build("dreamer-v3", size).agent, WALKER).parameter_count() == DREAMER_V3[size][-1]


def test_dreamer_v3_from_vectors_has_as_many_parameters_as_published():
  vectors = {"orientations": ArraySpec((14,)), "height": ArraySpec((1,)), "velocity": ArraySpec((9,))}
  assert Agent(build("dreamer-v3", "1m").agent, EnvSpec(vectors, ActionSpec(6))).parameter_count() == 640_867


def test_every_size_is_recorded():
  assert set(DREAMER_V3) == set(PRESETS["dreamer-v3"].sizes) == set(presets.SIZES)


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in PRESETS for size in PRESETS[name].sizes])
def test_every_preset_fits_every_size_of_its_own(name: str, size: str):
  config = build(name, size)
  assert config.size == size
  assert Agent(config.agent, PRESETS[name].spec(ArraySpec((64, 64, 3), "uint8"), 6)).parameter_count() > 0
  assert config.env_steps > config.loop.prefill_steps * config.env.action_repeat  # at least one update


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_without_a_size_is_that_of_its_default(name: str):
  assert build(name) == build(name, PRESETS[name].default_size)
  assert PRESETS[name].summary


def test_quick_is_the_task_that_anybody_can_run():
  config = build("quick")
  assert config.env.task == "dmc/cartpole_balance" and config.env.image_size is None
  assert Agent(config.agent, WALKER).parameter_count() == 754_474


def test_unknown_names_are_answered_with_the_nearest():
  with pytest.raises(ValueError, match=r"preset='dreamer_v3' is not one of quick, .*; did you mean dreamer-v3"):
    build("dreamer_v3")
  with pytest.raises(ValueError, match=r"size='13m' is not one of 1m, 12m.*did you mean .*12m"):
    build("dreamer-v3", "13m")
  with pytest.raises(ValueError, match=r"size='1m' is not one of .* of quick"):
    build("quick", "1m")


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"env_steps": 0}, "env_steps=0 must be at least 1"),
    ({"num_envs": -1}, "num_envs=-1 must be at least 1"),
    ({"seed": -1}, "seed=-1 must not be negative"),
    ({"replay": {"batch_length": 1}}, "batch_length=1 must be at least 2"),
  ],
)
def test_runs_that_make_no_sense_are_refused(change: dict, message: str):
  config = build("quick")
  parts = {k: dataclasses.replace(getattr(config, k), **v) if isinstance(v, dict) else v for k, v in change.items()}
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(config, **parts)
