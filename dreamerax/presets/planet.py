"""PlaNet (Hafner et al. 2019)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.envs import EnvConfig
from dreamerax.nets.decoders import StridedDecoder
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.gru import ResetBeforeGRU
from dreamerax.nets.heads import NormalHead
from dreamerax.ops.optimizers import Adam
from dreamerax.presets.sizes import OLDER_SIZES
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import StateFreeNats
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def planet(size: str) -> RunConfig:
  """PlaNet (Hafner et al. 2019): a Gaussian RSSM, and CEM in its imagination in place of a policy.

  dreamerax train planet --task dmc/cheetah_run --action-repeat 4

  Action repeats as published: cartpole 8; reacher, cheetah and ball_in_cup 4; finger and walker 2. The published CEM takes
  about a second a decision on a CPU: --agent.behavior.planner.candidates 100 --agent.behavior.planner.elites 10 do there.
  """
  share = OLDER_SIZES[size]
  deter, units = 200 // share, 300 // share
  return RunConfig(
    size=size,
    env_steps=1_000_000,
    num_envs=1,
    env=EnvConfig(task="dmc/cheetah_run", action_repeat=4),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=32 // share, activation="relu", units=units),
        dynamics=GruRSSM(
          deter=deter, hidden=deter, activation="relu", cell=ResetBeforeGRU(), stochastic=Gaussian(dims=30)
        ),
        reward=NormalHead(layers=3, units=units, activation="relu"),
        continues=None,
        objectives={
          "kl": StateFreeNats(free_nats=3.0),
          "reconstruction": Reconstruction(
            StridedDecoder(depth=32 // share, activation="relu", units=units), scale=0.5
          ),
        },
        image_bits=5,
        reward_scale=10.0,
      ),
      behavior=Planning(CEM(horizon=12, candidates=1000, elites=100, iterations=10)),
      optimizer=Adam(learning_rate=1e-3, eps=1e-4, clip=1000.0),
      exploration_noise=0.3,
    ),
    replay=ReplayConfig(capacity=5_000_000, batch_size=50, batch_length=50, context=0, online=False),
    schedule=BurstConfig(updates=100, every=1000, first=100),  # an episode has 1000 env steps
    loop=LoopConfig(prefill_steps=5 * 1000 // 4, prefill_policy="random"),
  )
