"""A reward from a few examples of success (Fu et al. 2018, VICE)."""

from dataclasses import replace

from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.classifier import ExampleClassifier
from dreamerax.presets.events import events
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel


def vice(size: str) -> RunConfig:
  """A reward from a few examples (Fu et al. 2018, VICE; Singh et al. 2019): plans to states that a classifier takes for one.

  dreamerax train vice --task table/place

  The classifier tells the images that the environment shows as goals from what was replayed, in the latent of `cfm`'s
  contrast. The reward of the environment trains nothing that acts: it is the score. The published method trains a policy
  without a model.
  """
  run = events(size)
  assert isinstance(run.agent.world_model, WorldModel)
  contrast = {"contrast": run.agent.world_model.objectives["contrast"]}
  planner = MPPI(horizon=8, candidates=128, elites=16, iterations=3)
  agent = replace(
    run.agent,
    world_model=replace(run.agent.world_model, objectives=contrast),
    behavior=Rewarded(Planning(planner), ExampleClassifier()),
  )
  return replace(run, env=replace(run.env, task="table/place"), agent=agent)
