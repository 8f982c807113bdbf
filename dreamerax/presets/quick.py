"""A small DreamerV3 that learns on a laptop."""

from dreamerax.agent import AgentConfig
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.envs import EnvConfig
from dreamerax.nets.decoders import ConvDecoder
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.heads import ActorHead, BinaryHead, TwoHotHead
from dreamerax.ops.optimizers import LaProp
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import TrainRatioConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def quick(size: str) -> RunConfig:
  """The family's parts in a size that learns on a laptop's CPU, on a task that takes minutes.

  dreamerax train

  Seeds 0, 1 and 2: evaluation returns 988, 710 and 986 of 1000 at 100,000 env steps, after 15 to 25 minutes on a shared CPU
  (docs/quick.md). The encoder is that of Dreamer v1 and v2, which costs less, and the discount theirs, 0.99 for two
  simulator steps, over eight. The latents are Gaussian, and their KL weighs a tenth with the balance 0.8, as Dreamer v2's on
  Atari: with DreamerV3's the model finds the pole three times later.
  """
  units, discount = 64, 0.96
  return RunConfig(
    size=size,
    env_steps=100_000,
    num_envs=4,
    env=EnvConfig(task="dmc/cartpole_balance", action_repeat=8, rendering="balanced"),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=StridedEncoder(depth=8, activation="elu", start="truncated_normal", units=units),
        dynamics=RSSM(deter=256, hidden=128, stochastic=Gaussian(dims=16)),
        reward=TwoHotHead(layers=1, units=units),
        continues=BinaryHead(layers=1, units=units),
        objectives={
          "kl": FreeBits(dynamics_scale=0.08, representation_scale=0.02),
          "reconstruction": Reconstruction(ConvDecoder(depth=2, mults=(2, 4, 8, 16), units=256)),
        },
        discount=discount,
      ),
      behavior=ActorCritic(
        actor=ActorHead(layers=2, units=units),
        critic=TwoHotHead(layers=2, units=units),
        actor_optimizer=LaProp(learning_rate=3e-4, warmup=100),
        critic_optimizer=LaProp(learning_rate=1e-3, warmup=100),
        discount=discount,
      ),
      optimizer=LaProp(learning_rate=1.5e-3, warmup=100),
    ),
    replay=ReplayConfig(capacity=100_000, batch_size=16, batch_length=8, context=1, online=True),
    schedule=TrainRatioConfig(ratio=64),
    loop=LoopConfig(prefill_steps=500, eval_every=10_000, eval_episodes=5, checkpoint_minutes=1.0),
  )
