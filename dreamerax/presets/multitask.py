"""Several tasks of one body in one world model."""

from dataclasses import replace

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.multitask import MultiTask
from dreamerax.envs import EnvConfig
from dreamerax.nets.heads import TwoHotHead
from dreamerax.nets.stopped_head import StoppedHead
from dreamerax.ops.optimizers import LaProp
from dreamerax.presets.laptop import laptop
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel


def multitask(size: str) -> RunConfig:
  """An actor-critic on the parts of `laptop` that learns to stand, to walk and to run at once, each as it is told.

  dreamerax train multitask --task tasks/walker --action-repeat 2

  The world model sees no task. A reward head of state and task learns the rewards of all tasks from every step, and the
  actor-critic imagines each replayed step for a task drawn at random. The reward of the task under way, which evaluations
  count, trains nothing but the world model's own head. `tasks/walker_run` collects and evaluates one of the tasks; the
  others are learned from its data, too.
  """
  run = laptop("tiny")
  world_model = run.agent.world_model
  assert isinstance(run.agent.behavior, ActorCritic) and isinstance(world_model, WorldModel)
  assert isinstance(world_model.reward, TwoHotHead)
  behavior = MultiTask(run.agent.behavior, reward=world_model.reward, optimizer=LaProp(learning_rate=1e-3, warmup=100))
  world_model = replace(world_model, reward=StoppedHead(world_model.reward))
  return replace(
    run,
    size=size,
    env=EnvConfig(task="tasks/walker", action_repeat=2, rendering="balanced"),
    agent=replace(run.agent, world_model=world_model, behavior=behavior),
  )
