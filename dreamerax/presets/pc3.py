"""PC3: predictive coding, consistency, curvature (Shu et al. 2020)."""

from dataclasses import replace

from dreamerax.dynamics.point_embedding import PointEmbedded
from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.dynamics.transitions import Residual
from dreamerax.nets.flat import BernoulliDecoder, FlatEncoder
from dreamerax.presets.embed_to_control import embed_to_control
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.predictive_coding import PredictiveCoding
from dreamerax.world_model.objectives.probe import Probe


def pc3(size: str) -> RunConfig:
  """Predictive coding, consistency, curvature (Shu et al. 2020, ICML): no decoder, and the planner of `embed-to-control`.

  dreamerax train pc3 --task e2c/planar

  `--agent.world-model.objectives.probe.sequences 8` lets a decoder learn from the latents, and teach the model nothing,
  so that there are pictures to look at.
  """
  run = embed_to_control(size)
  assert isinstance(run.agent.world_model, WorldModel)
  world_model = replace(
    run.agent.world_model,
    encoder=FlatEncoder(layers=2, units=300),
    dynamics=PointEmbedded(Residual(layers=2, units=20), Gaussian(dims=2, min_std=1e-3), layers=0),
    objectives={
      "coding": PredictiveCoding(),
      "probe": Probe(BernoulliDecoder(layers=2, units=200), sequences=0),
    },
  )
  return replace(
    run,
    agent=replace(run.agent, world_model=world_model),
    replay=replace(run.replay, batch_size=64),
    schedule=replace(run.schedule, updates=32),
  )
