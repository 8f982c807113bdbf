"""Dreamer (Hafner et al. 2020)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.envs import EnvConfig
from dreamerax.nets.decoders import StridedDecoder
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.gru import ResetAfterGRU
from dreamerax.nets.heads import NormalHead, TanhNormalActor
from dreamerax.ops.optimizers import Adam
from dreamerax.presets.sizes import OLDER_SIZES
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import MeanFreeNats
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def dreamer_v1(size: str) -> RunConfig:
  """Dreamer (Hafner et al. 2020): a Gaussian RSSM, and a policy trained by gradients through it.

  dreamerax train dreamer-v1 --task dmc/walker_walk
  """
  share = OLDER_SIZES[size]
  deter, units = 200 // share, 400 // share
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=1,
    env=EnvConfig(task="dmc/walker_walk", action_repeat=2),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=32 // share, activation="relu", units=units),
        dynamics=GruRSSM(
          deter=deter, hidden=deter, activation="elu", cell=ResetAfterGRU(), stochastic=Gaussian(dims=30)
        ),
        reward=NormalHead(layers=2, units=units),
        continues=None,
        objectives={
          "kl": MeanFreeNats(free_nats=3.0),
          "reconstruction": Reconstruction(
            StridedDecoder(depth=32 // share, activation="relu", units=units), scale=0.5
          ),
        },
        discount=0.99,
      ),
      behavior=ActorCriticV2(
        actor=TanhNormalActor(layers=4, units=units),
        critic=NormalHead(layers=3, units=units),
        actor_optimizer=Adam(learning_rate=8e-5, eps=1e-7, clip=100.0),
        critic_optimizer=Adam(learning_rate=8e-5, eps=1e-7, clip=100.0),
        entropy_scale=0.0,
        target_every=0,
        start_values=False,
      ),
      optimizer=Adam(learning_rate=6e-4, eps=1e-7, clip=100.0),
      exploration_noise=0.3,
    ),
    replay=ReplayConfig(capacity=5_000_000, batch_size=50, batch_length=50, context=0, online=False),
    schedule=BurstConfig(updates=100, every=1000, first=100),
    loop=LoopConfig(prefill_steps=5000 // 2, prefill_policy="random"),
  )
