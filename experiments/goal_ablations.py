"""Presets with a part left out, for the comparisons of experiments/goals.md.

dreamerax train-world-model experiments.goal_ablations:forward_alone --data episodes
"""

from dataclasses import replace

from dreamerax import presets
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.forward import Forward


def forward_alone(size: str = "small") -> RunConfig:
  """`cfm` with the forward loss in place of the contrast: nothing holds its states apart."""
  run = presets.build("cfm", size)
  assert isinstance(run.agent.world_model, WorldModel)
  world_model = replace(run.agent.world_model, objectives={"forward": Forward()})
  return replace(run, agent=replace(run.agent, world_model=world_model))
