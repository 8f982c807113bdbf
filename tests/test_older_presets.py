"""The published figures of PlaNet, Dreamer v1 and v2, and how many parameters they come to."""

from typing import Any

import pytest

from dreamerax.agent import Agent
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.policy_gradient import Pathwise
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.stochastic import Categorical, Gaussian
from dreamerax.nets.decoders import StridedDecoder
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.gru import LayerNormGRU, ResetAfterGRU, ResetBeforeGRU
from dreamerax.nets.heads import NormalHead, TanhNormalActor, TruncatedNormalActor
from dreamerax.ops.optimizers import Adam
from dreamerax.presets import build
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.world_model.objectives.kl import BalancedKL, MeanFreeNats, StateFreeNats
from dreamerax.world_model.objectives.reconstruction import Reconstruction
from tests.test_presets import WALKER, figure

FIGURES: dict[str, dict[str, Any]] = {
  "planet": {
    "env.action_repeat": 4,
    "agent.exploration_noise": 0.3,
    "agent.model_first": False,
    "agent.optimizer": Adam(learning_rate=1e-3, eps=1e-4, clip=1000.0),
    "agent.world_model.encoder": StridedEncoder(depth=32, stages=4, activation="relu", units=300),
    "agent.world_model.objectives.reconstruction": Reconstruction(
      StridedDecoder(depth=32, activation="relu", units=300), scale=0.5
    ),
    "agent.world_model.dynamics": GruRSSM(200, 200, "relu", ResetBeforeGRU(), Gaussian(dims=30, min_std=0.1)),
    "agent.world_model.reward": NormalHead(layers=3, units=300, activation="relu"),
    "agent.world_model.continues": None,
    "agent.world_model.objectives.kl": StateFreeNats(free_nats=3.0, scale=1.0),
    "agent.world_model.image_bits": 5,
    "agent.world_model.reward_scale": 10.0,
    "agent.behavior": Planning(CEM(12, candidates=1000, elites=100, iterations=10, initial_std=1.0), discount=1.0),
    "replay.batch_size": 50,
    "replay.batch_length": 50,
    "schedule": BurstConfig(updates=100, every=1000, first=100, unit="env_steps"),
    "loop.prefill_steps": 1250,
  },
  "dreamer-v1": {
    "env.action_repeat": 2,
    "agent.exploration_noise": 0.3,
    "agent.model_first": False,
    "agent.optimizer": Adam(learning_rate=6e-4, eps=1e-7, clip=100.0),
    "agent.world_model.encoder": StridedEncoder(depth=32, stages=4, activation="relu", units=400),
    "agent.world_model.objectives.reconstruction": Reconstruction(
      StridedDecoder(depth=32, activation="relu", units=400), scale=0.5
    ),
    "agent.world_model.dynamics": GruRSSM(200, 200, "elu", ResetAfterGRU(), Gaussian(dims=30, min_std=0.1)),
    "agent.world_model.reward": NormalHead(layers=2, units=400, activation="elu"),
    "agent.world_model.continues": None,
    "agent.world_model.objectives.kl": MeanFreeNats(free_nats=3.0, scale=1.0),
    "agent.world_model.discount": 0.99,
    "agent.world_model.image_bits": 8,
    "agent.world_model.reward_scale": 1.0,
    "agent.behavior": ActorCriticV2(
      actor=TanhNormalActor(4, 400, "elu", init_std=5.0, min_std=1e-4, mean_scale=5.0),
      critic=NormalHead(layers=3, units=400, activation="elu"),
      gradient=Pathwise(),
      actor_optimizer=Adam(learning_rate=8e-5, eps=1e-7, clip=100.0),
      critic_optimizer=Adam(learning_rate=8e-5, eps=1e-7, clip=100.0),
      horizon=15,
      return_lambda=0.95,
      entropy_scale=0.0,
      target_every=0,
      start_values=False,
    ),
    "replay.batch_size": 50,
    "replay.batch_length": 50,
    "schedule": BurstConfig(updates=100, every=1000, first=100, unit="env_steps"),
    "loop.prefill_steps": 2500,  # 5000 env steps
  },
  "dreamer-v2": {
    "env.action_repeat": 2,
    "agent.exploration_noise": 0.0,
    "agent.model_first": True,
    "agent.optimizer": Adam(learning_rate=3e-4, eps=1e-5, clip=100.0, decay=1e-6),
    "agent.world_model.encoder": StridedEncoder(depth=48, stages=4, activation="elu", units=400),
    "agent.world_model.objectives.reconstruction": Reconstruction(
      StridedDecoder(depth=48, activation="elu", units=400), scale=0.5
    ),
    "agent.world_model.dynamics": GruRSSM(200, 200, "elu", LayerNormGRU(), Categorical(32, 32, unimix=0.0)),
    "agent.world_model.reward": NormalHead(layers=4, units=400, activation="elu"),
    "agent.world_model.continues": None,
    "agent.world_model.objectives.kl": BalancedKL(free_nats=1.0, balance=0.8, scale=1.0),
    "agent.world_model.discount": 0.99,
    "agent.world_model.image_bits": 8,
    "agent.world_model.reward_scale": 1.0,
    "agent.behavior": ActorCriticV2(
      actor=TruncatedNormalActor(4, 400, "elu", min_std=0.1),
      critic=NormalHead(layers=4, units=400, activation="elu"),
      gradient=Pathwise(),
      actor_optimizer=Adam(learning_rate=8e-5, eps=1e-5, clip=100.0, decay=1e-6),
      critic_optimizer=Adam(learning_rate=8e-5, eps=1e-5, clip=100.0, decay=1e-6),
      horizon=15,
      return_lambda=0.95,
      entropy_scale=1e-4,
      target_every=100,
      start_values=True,
    ),
    "replay.batch_size": 16,
    "replay.batch_length": 50,
    "replay.capacity": 2_000_000,
    "schedule": BurstConfig(updates=1, every=5, first=100, unit="agent_steps"),
    "loop.prefill_steps": 1000,
  },
}

# What these widths come to for walker_walk from pixels.
PARAMETERS = {"planet": 5_293_220, "dreamer-v1": 6_288_833, "dreamer-v2": 15_604_385}


@pytest.mark.parametrize("name", FIGURES)
def test_it_has_the_published_figures(name: str):
  config, figures = build(name), FIGURES[name]
  assert {path: figure(config, path) for path in figures} == figures
  assert set(config.agent.world_model.objectives) == {"kl", "reconstruction"}
  assert config.size == "published" and config.num_envs == 1
  assert config.loop.prefill_policy == "random"
  assert config.replay.context == 0 and not config.replay.online


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_has_as_many_parameters_as_recorded(name: str):
  assert Agent(build(name).agent, WALKER).parameter_count() == PARAMETERS[name]


@pytest.mark.parametrize("name", FIGURES)
def test_the_small_size_differs_in_widths_alone(name: str):
  """With the published widths put in, it is the published one."""
  small, published = build(name, "small"), build(name)
  assert Agent(small.agent, WALKER).parameter_count() < PARAMETERS[name] / 10
  for field in ("env", "loop", "replay", "schedule", "env_steps", "num_envs"):
    assert getattr(small, field) == getattr(published, field)
  assert small.agent.optimizer == published.agent.optimizer
  assert small.agent.world_model.objectives["kl"] == published.agent.world_model.objectives["kl"]
