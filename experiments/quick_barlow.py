"""The quick preset without a decoder: redundancy reduction teaches its encoder.

dreamerax train experiments.quick_barlow:preset --seed 0
"""

from dataclasses import replace

from dreamerax import presets
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.barlow import Barlow


def preset(size: str = "tiny") -> RunConfig:
  """`quick` with Barlow at its published scale in place of the reconstruction."""
  run = presets.build("quick", size)
  assert isinstance(run.agent.world_model, WorldModel)
  objectives = {"barlow": Barlow(), "kl": run.agent.world_model.objectives["kl"]}
  return replace(run, agent=replace(run.agent, world_model=replace(run.agent.world_model, objectives=objectives)))
