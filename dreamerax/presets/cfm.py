"""Contrastive forward model (Yan et al. 2020)."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.planners.shooting import Shooting
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import ActionMatrix
from dreamerax.envs import EnvConfig
from dreamerax.nets.encoders import ConvEncoder
from dreamerax.nets.heads import NormalHead
from dreamerax.ops.optimizers import Adam
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import TrainRatioConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.contrastive_forward import ContrastiveForward


def cfm(size: str) -> RunConfig:
  """Contrastive forward model (Yan et al. 2020): a latent of eight numbers without a decoder, and one greedy step to a goal.

  dreamerax train cfm --task table/reach

  Of 100 random actions it takes the one whose predicted latent is nearest to that of the goal's image. No reward is
  learned from. An image has no velocity: scenes should come to rest between decisions.

  Latent, transition, batch, learning rate and candidates are the published ones; the encoder is a small one of DreamerV3's
  kind and the image has 48 pixels a side, for a CPU. With a plain encoder, the loss on `goal/point_mass`, whose ball has two
  pixels, stays where it begins (experiments/goals.md).
  """
  return RunConfig(
    size=size,
    env_steps=20_000,
    num_envs=4,
    env=EnvConfig(task="table/reach", action_repeat=1, image_size=48, rendering="fast"),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=ConvEncoder(depth=4, mults=(1, 2, 4)),
        dynamics=Embedded(ActionMatrix(layers=2, units=64), Deterministic(dims=8), layers=1, units=128),
        reward=NormalHead(layers=1, units=16),
        continues=None,
        objectives={"contrast": ContrastiveForward()},
        reward_scale=0.0,
      ),
      behavior=Rewarded(Planning(Shooting(horizon=1, candidates=100)), GoalDistance()),
      optimizer=Adam(learning_rate=1e-3, clip=20.0),
      exploration_noise=0.3,
    ),
    replay=ReplayConfig(capacity=200_000, batch_size=128, batch_length=2, context=0, online=False),
    schedule=TrainRatioConfig(ratio=64),
    loop=LoopConfig(prefill_steps=10_000, prefill_policy="random", eval_every=5000, eval_episodes=30),
  )
