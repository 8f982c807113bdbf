"""Action-conditional video prediction (Oh et al. 2015)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.envs import EnvConfig
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.heads import TwoHotHead
from dreamerax.ops.optimizers import Adam
from dreamerax.presets.sizes import VIDEO_SIZES
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.video.action_effects import Multiplicative
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.encodings import Stacked
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.oh import Oh


def oh(size: str) -> RunConfig:
  """Action-conditional video prediction (Oh et al. 2015): convolutions, a product with the action, deconvolutions.

  dreamerax record --task table/push --rendering fast --episodes 300 --out episodes/push
  dreamerax train-world-model oh --data episodes/push

  The recurrent encoding is Oh(encoding=Recurrent()). Size "published" has the published widths and stages; "small" has an
  eighth of the widths, and begins its stages after 1,000 and 2,000 updates.
  """
  part = VIDEO_SIZES[size]
  return RunConfig(
    size=size,
    env_steps=20_000,
    num_envs=1,
    env=EnvConfig(task="table/push", rendering="fast"),
    agent=AgentConfig(
      world_model=VideoModel(
        predictor=Oh(
          encoding=Stacked(frames=4),
          action=Multiplicative(factors=2048 // part),
          channels=(64 // part, 128 // part, 128 // part, 128 // part),
          units=2048 // part,
        ),
        training=Curriculum() if part == 1 else Curriculum(begins=(0, 1000, 2000)),
        encoder=StridedEncoder(depth=4, stages=3),
        reward=TwoHotHead(layers=1, units=64),
      ),
      behavior=Planning(CEM(horizon=5, candidates=32, elites=4, iterations=3)),
      optimizer=Adam(learning_rate=1e-4 if part == 1 else 1e-3),
      exploration_noise=0.3,
    ),
    replay=ReplayConfig(capacity=100_000, batch_size=32 if part == 1 else 8, batch_length=10, context=0, online=False),
    schedule=BurstConfig(updates=1, every=1, first=100),
    loop=LoopConfig(prefill_steps=2000, prefill_policy="random", eval_every=5000, eval_episodes=5),
  )
