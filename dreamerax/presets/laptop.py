"""A small DreamerV3 for the tasks of the DeepMind Control Suite, on a laptop's CPU."""

from functools import partial

from dreamerax.agent import AgentConfig
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.envs import EnvConfig
from dreamerax.nets.heads import ActorHead, BinaryHead, TwoHotHead
from dreamerax.nets.patches import PatchDecoder, PatchEncoder
from dreamerax.ops.optimizers import LaProp
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import BurstConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.reconstruction import Reconstruction


def laptop(size: str) -> RunConfig:
  """Gaussian latents and networks over patches, for tasks with an action repeat of 2 to 8.

  dreamerax train laptop --task dmc/cheetah_run --action-repeat 4

  The figures are the same for all tasks; the action repeats are PlaNet's, walker and finger 2, others 4, but for cartpole,
  which has 4 in place of 8: its swing-up has 516 at 40,000 env steps, and 258 with 8. Updates are counted in env steps, so
  that a run of any task has as many. Sequences are short and begin with stored latents: what was tried is in
  experiments/laptop.md.
  """
  units, discount = 64, 0.99
  scalar = partial(TwoHotHead, units=units, bins=63, limit=7.0)  # up to symexp(7) = 1,096: rewards are four at most
  return RunConfig(
    size=size,
    env_steps=100_000,
    num_envs=4,
    env=EnvConfig(task="dmc/cheetah_run", action_repeat=4, rendering="balanced"),
    agent=AgentConfig(
      world_model=WorldModel(
        encoder=PatchEncoder(),
        dynamics=RSSM(deter=256, hidden=128, stochastic=Gaussian(dims=32)),
        reward=scalar(layers=1),
        continues=BinaryHead(layers=1, units=units),
        objectives={
          "kl": FreeBits(dynamics_scale=0.5, representation_scale=0.1),
          "reconstruction": Reconstruction(PatchDecoder(pool=2)),
        },
        discount=discount,
      ),
      behavior=ActorCritic(
        actor=ActorHead(layers=2, units=units),
        critic=scalar(layers=2),
        actor_optimizer=LaProp(learning_rate=3e-4, warmup=100),
        critic_optimizer=LaProp(learning_rate=1e-3, warmup=100),
        discount=discount,
      ),
      optimizer=LaProp(learning_rate=1e-3, warmup=100),
    ),
    replay=ReplayConfig(capacity=100_000, batch_size=16, batch_length=8, context=1, online=True),
    schedule=BurstConfig(updates=3, every=8, first=200),
    loop=LoopConfig(prefill_steps=500, eval_every=20_000, eval_episodes=5, checkpoint_minutes=5.0),
  )
