"""Events in place of images (Kahn et al. 2018, GCG; 2020, BADGR)."""

from dataclasses import replace

from dreamerax.behavior.planners.mppi import MPPI
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.event import EventReward
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import ActionMatrix
from dreamerax.presets.cfm import cfm
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.contrastive_forward import ContrastiveForward
from dreamerax.world_model.objectives.event_forecast import EventForecast


def events(size: str) -> RunConfig:
  """Events in place of images (Kahn et al. 2018, GCG; 2020, BADGR): plans to a goal image, at a price for likely contacts.

  dreamerax train events --task table/push

  The model predicts no image: it learns whether the puck touches an object in each of the next eight steps, given the
  actions, and the contrast of `cfm`, by which the distance to the goal is measured.
  `--agent.behavior.inner.reward.weight 0` leaves the price out, a weight above 0 looks for contacts.

  The published models are LSTMs of 64 units begun from an image, and their planners know the goal's position.
  """
  run = cfm(size)
  assert isinstance(run.agent.world_model, WorldModel)
  world_model = replace(
    run.agent.world_model,
    dynamics=Embedded(ActionMatrix(layers=2, units=64), Deterministic(dims=16), layers=1, units=128),
    objectives={"contrast": ContrastiveForward(), "events": EventForecast(ahead=8)},
  )
  planner = MPPI(horizon=8, candidates=128, elites=16, iterations=3)
  behavior = Rewarded(Rewarded(Planning(planner), EventReward("event/contact", weight=-10.0)), GoalDistance(scale=0.01))
  return replace(
    run,
    env=replace(run.env, task="table/push"),
    agent=replace(run.agent, world_model=world_model, behavior=behavior),
    replay=replace(run.replay, batch_size=16, batch_length=16),
  )
