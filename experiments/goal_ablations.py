"""Presets with another part or without one, for the comparisons of experiments/goals.md.

dreamerax train-world-model experiments.goal_ablations:forward_alone --data episodes
"""

from dataclasses import replace

from dreamerax import presets
from dreamerax.behavior.achiever import Achiever
from dreamerax.behavior.goals.relabel import Relabel, Shuffled
from dreamerax.behavior.multitask import MultiTask
from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewards.base import Reward
from dreamerax.behavior.rewards.goal import GoalSimilarity
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.forward import Forward


def forward_alone(size: str = "small") -> RunConfig:
  """`cfm` with the forward loss in place of the contrast: nothing holds its states apart."""
  run = presets.build("cfm", size)
  assert isinstance(run.agent.world_model, WorldModel)
  world_model = replace(run.agent.world_model, objectives={"forward": Forward()})
  return replace(run, agent=replace(run.agent, world_model=world_model))


def poke_small_strides(size: str = "small") -> RunConfig:
  """`poke` with the encoder of `cfm`, which loses no small ball between its strides."""
  run, like = presets.build("poke", size), presets.build("cfm", size)
  assert isinstance(run.agent.world_model, WorldModel) and isinstance(like.agent.world_model, WorldModel)
  world_model = replace(run.agent.world_model, encoder=like.agent.world_model.encoder)
  return replace(run, agent=replace(run.agent, world_model=world_model))


def her_shuffled(size: str = "tiny") -> RunConfig:
  """`her` towards any steps of the batch in place of later ones of the episode."""
  return _her(size, goals=Shuffled())


def her_similarity(size: str = "tiny") -> RunConfig:
  """`her` for the cosine of features in place of the learned number of steps."""
  return _her(size, reward=GoalSimilarity())


def multitask_planned(size: str = "tiny") -> RunConfig:
  """`multitask` with a planner in place of the actor-critic: it plans for the reward of the task that is shown."""
  run = presets.build("multitask", size)
  assert isinstance(run.agent.behavior, MultiTask)
  planner = MPPI(horizon=12, candidates=256, elites=32, iterations=4)
  behavior = replace(run.agent.behavior, inner=Planning(planner))
  return replace(run, agent=replace(run.agent, behavior=behavior))


def _her(size: str, **parts: Relabel | Reward) -> RunConfig:
  run = presets.build("her", size)
  assert isinstance(run.agent.behavior, Achiever)
  return replace(run, agent=replace(run.agent, behavior=replace(run.agent.behavior, **parts)))
