"""Goals in hindsight (Andrychowicz et al. 2017), in imagination."""

from dataclasses import replace

from dreamerax.behavior.achiever import Achiever
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.goals.relabel import Future
from dreamerax.behavior.rewards.temporal import TemporalDistance
from dreamerax.envs import EnvConfig
from dreamerax.nets.heads import TwoHotHead
from dreamerax.nets.stopped_head import StoppedHead
from dreamerax.ops.optimizers import LaProp
from dreamerax.presets.quick import quick
from dreamerax.replay.replay import ReplayConfig
from dreamerax.run_config import RunConfig
from dreamerax.runtime.schedule import TrainRatioConfig
from dreamerax.runtime.settings import LoopConfig
from dreamerax.world_model.model import WorldModel


def her(size: str) -> RunConfig:
  """An actor-critic on the parts of `quick` that reaches the goals of images, with hindsight (Andrychowicz et al. 2017).

  dreamerax train her --task goal/reacher

  It learns in imagination, from every replayed step towards a later step of the same episode, and pays the learned
  number of steps to the goal. It collects towards the goals that the environment shows. The reward of the environment,
  which tells of success, trains nothing but the world model's reward head: it is the score.

  The learned distance is that of short ways: the mean over all that was replayed does not end at the goal, and the policy
  beside it (experiments/goals.md).

  The paper relabels single steps of a value function of state, action and goal; there is none here.
  """
  run = quick("tiny")
  world_model = run.agent.world_model
  assert isinstance(run.agent.behavior, ActorCritic) and isinstance(world_model, WorldModel)
  assert isinstance(world_model.reward, TwoHotHead)
  actor_critic = replace(run.agent.behavior, replay_value_scale=0.0)
  distance = TemporalDistance(limit=15, expectile=0.1, optimizer=LaProp(learning_rate=1e-3, warmup=100))
  agent = replace(
    run.agent,
    world_model=replace(world_model, reward=StoppedHead(world_model.reward)),
    behavior=Achiever(actor_critic, goals=Future(), reward=distance),
  )
  return replace(
    run,
    size=size,
    env_steps=40_000,
    env=EnvConfig(task="goal/reacher", action_repeat=4, rendering="balanced"),
    agent=agent,
    replay=ReplayConfig(capacity=100_000, batch_size=8, batch_length=16, context=1, online=True),
    schedule=TrainRatioConfig(ratio=32),
    loop=LoopConfig(prefill_steps=1000, eval_every=10_000, eval_episodes=20, checkpoint_minutes=1.0),
  )
