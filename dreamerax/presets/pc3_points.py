"""PC3 on feature points: the encoder of a spatial autoencoder in place of a network of all pixels."""

from dataclasses import replace

from dreamerax.behavior.planners.ilqr import ILQR
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.dynamics.point_embedding import PointEmbedded
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.dynamics.transitions import Residual
from dreamerax.nets.spatial import SpatialSoftmaxEncoder
from dreamerax.presets.pc3 import pc3
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.predictive_coding import PredictiveCoding


def pc3_points(size: str) -> RunConfig:
  """PC3 whose latent is linear in eight feature points, for poles.

  dreamerax train pc3-points

  The points of a new encoder follow a pole round its circle, so that the distance to the goal grows with the angle. A network
  of all pixels begins with a curve that is folded, and often stays so. The planner looks three steps ahead: with ten, it
  dithers where the pendulum hangs (experiments/latent_control.md).
  """
  run = pc3(size)
  assert isinstance(run.agent.world_model, WorldModel)
  world_model = replace(
    run.agent.world_model,
    encoder=SpatialSoftmaxEncoder(depths=(8, 8), padding="black"),
    dynamics=PointEmbedded(Residual(layers=2, units=30), Gaussian(dims=3, min_std=1e-3), layers=0),
    objectives={**run.agent.world_model.objectives, "coding": PredictiveCoding(reach=0.5)},
  )
  return replace(
    run,
    env=replace(run.env, task="e2c/swingup"),
    agent=replace(
      run.agent,
      world_model=world_model,
      behavior=Rewarded(Planning(ILQR(horizon=3, candidates=32, iterations=4)), GoalDistance()),
    ),
  )
