"""Deep dynamics models for planning (Nagabandi et al. 2019), on PlaNet's world model."""

from dataclasses import replace

from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planning import Planning
from dreamerax.dynamics.ensemble import PriorEnsemble
from dreamerax.presets.planet import planet
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel


def pddm(size: str) -> RunConfig:
  """PDDM's planner, MPPI with filtered noise over three models, in PlaNet's latent space (Nagabandi et al. 2019).

  dreamerax train pddm --task dmc/cheetah_run --action-repeat 4 --observations position velocity

  Without --observations it sees pixels. The models are three priors with one posterior. Planner and number of models are
  those published for the half-cheetah, but for the weights, which are relative to the spread of the scores, and the
  horizon: 12 steps, as PlaNet's, each of four simulator steps.
  """
  run = planet(size)
  world_model = run.agent.world_model
  assert isinstance(world_model, WorldModel)
  planner = MPPI(horizon=12, candidates=700, elites=700, iterations=1, std=0.9, min_std=0.9, smoothing=0.9)
  world_model = replace(world_model, dynamics=PriorEnsemble(world_model.dynamics, members=3))
  return replace(run, agent=replace(run.agent, world_model=world_model, behavior=Planning(planner)))
