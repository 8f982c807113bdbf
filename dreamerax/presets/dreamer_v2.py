"""Dreamer v2 (Hafner et al. 2021)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.stochastic import Categorical
from dreamerax.envs import EnvConfig
from dreamerax.nets.decoders import StridedDecoder
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.gru import LayerNormGRU
from dreamerax.nets.heads import NormalHead, TruncatedNormalActor
from dreamerax.ops.optimizers import Adam
from dreamerax.presets.sizes import OLDER_SIZES
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import BalancedKL
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def dreamer_v2(size: str) -> RunConfig:
  """Dreamer v2 (Hafner et al. 2021) with its figures for DeepMind Control: a categorical RSSM, KL balancing, a target network.

  dreamerax train dreamer-v2 --task dmc/walker_walk
  """
  share = OLDER_SIZES[size]
  deter, units = 200 // share, 400 // share
  decay = 1e-6
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=1,
    env=EnvConfig(task="dmc/walker_walk", action_repeat=2),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=48 // share, activation="elu", units=units),
        dynamics=GruRSSM(
          deter=deter,
          hidden=deter,
          activation="elu",
          cell=LayerNormGRU(),
          stochastic=Categorical(groups=32, classes=32 // share, unimix=0.0),
        ),
        reward=NormalHead(layers=4, units=units),
        continues=None,
        objectives={
          "kl": BalancedKL(free_nats=1.0, balance=0.8),
          "reconstruction": Reconstruction(StridedDecoder(depth=48 // share, activation="elu", units=units), scale=0.5),
        },
        discount=0.99,
      ),
      behavior=ActorCriticV2(
        actor=TruncatedNormalActor(layers=4, units=units),
        critic=NormalHead(layers=4, units=units),
        actor_optimizer=Adam(learning_rate=8e-5, eps=1e-5, clip=100.0, decay=decay),
        critic_optimizer=Adam(learning_rate=8e-5, eps=1e-5, clip=100.0, decay=decay),
      ),
      optimizer=Adam(learning_rate=3e-4, eps=1e-5, clip=100.0, decay=decay),
      model_first=True,
    ),
    replay=ReplayConfig(capacity=2_000_000, batch_size=16, batch_length=50, context=0, online=False),
    schedule=BurstConfig(updates=1, every=5, first=100, unit="agent_steps"),
    loop=LoopConfig(prefill_steps=1000, prefill_policy="random"),
  )
