"""Deep spatial autoencoders (Finn et al. 2016)."""

from dataclasses import replace

from dreamerax.dynamics.as_encoded import AsEncoded
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import Residual
from dreamerax.nets.flat import MultiscaleDecoder
from dreamerax.nets.spatial import SpatialSoftmaxEncoder
from dreamerax.presets.embed_to_control import embed_to_control
from dreamerax.run_config import RunConfig
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.kl import PlainKL
from dreamerax.world_model.objectives.reconstruction import Reconstruction
from dreamerax.world_model.objectives.smoothness import Smoothness


def spatial_autoencoder(size: str) -> RunConfig:
  """Deep spatial autoencoders (Finn et al. 2016): points in the image, and iLQR that moves them to those of a goal image.

  dreamerax train spatial-autoencoder --task e2c/planar

  The decoder is linear, so that points have to carry positions; sums over blocks of pixels are compared, of which positions
  explain more than of pixels. The data and the planner are those of `embed-to-control`.
  """
  run = embed_to_control(size)
  assert isinstance(run.agent.world_model, WorldModel)
  points = 16
  world_model = replace(
    run.agent.world_model,
    encoder=SpatialSoftmaxEncoder(depths=(16, 16, points), padding="black"),
    dynamics=AsEncoded(Residual(layers=2, units=64), Deterministic(dims=2 * points)),
    objectives={
      "kl": PlainKL(),
      "reconstruction": Reconstruction(MultiscaleDecoder(layers=0)),
      "smoothness": Smoothness(scale=0.1),
    },
  )
  return replace(
    run,
    agent=replace(run.agent, world_model=world_model),
    schedule=replace(run.schedule, updates=8),
  )
