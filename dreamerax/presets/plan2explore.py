"""Plan2Explore (Sekar et al. 2020)."""

from dataclasses import replace

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.exploring import Exploring
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.disagreement import Disagreement
from dreamerax.nets.heads import TwoHotHead
from dreamerax.nets.stopped_head import StoppedHead
from dreamerax.presets.dreamer_v3 import dreamer_v3
from dreamerax.presets.quick import quick
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel


def plan2explore(size: str) -> RunConfig:
  """Plan2Explore (Sekar et al. 2020, arXiv 2005.05960) on the parts of DreamerV3, or on those of `quick` at size tiny.

  dreamerax train plan2explore --task dmc/cartpole_balance --size 12m

  One actor-critic collects the data and maximises the disagreement of an ensemble about the next step. The other one
  is evaluated and exported. It learns the task from the world model's reward head, and never collects: zero-shot
  adaptation. Nothing of the task's reward reaches the world model or the explorer: the reward head gives the features no
  gradient, and neither critic learns from replay.

  The paper is of Dreamer v1's parts, predicts embeddings and has five members with layers of 1024 units.
  """
  run = quick("tiny") if size == "tiny" else dreamer_v3(size)
  world_model = run.agent.world_model
  assert isinstance(run.agent.behavior, ActorCritic) and isinstance(world_model, WorldModel)
  assert isinstance(world_model.reward, TwoHotHead)
  actor_critic = replace(run.agent.behavior, replay_value_scale=0.0)
  ensemble = Disagreement(members=10, layers=2, units=2 * world_model.reward.units)
  agent = replace(
    run.agent,
    world_model=replace(world_model, reward=StoppedHead(world_model.reward)),
    behavior=Exploring(task=actor_critic, explorer=Rewarded(actor_critic, ensemble)),
  )
  return replace(run, size=size, agent=agent)
