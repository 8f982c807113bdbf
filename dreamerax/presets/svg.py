"""Stochastic video generation with a learned prior (Denton and Fergus 2018)."""

from dataclasses import replace

from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.ops.optimizers import Adam
from dreamerax.presets.oh import oh
from dreamerax.presets.sizes import VIDEO_SIZES
from dreamerax.run_config import RunConfig
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.svg import SVG
from dreamerax.world_model.video.variational import Variational


def svg(size: str) -> RunConfig:
  """Stochastic video generation with a learned prior (Denton and Fergus 2018): LSTMs over codes of frames, and a latent.

  dreamerax record --task table/push --rendering fast --episodes 300 --out episodes/push
  dreamerax train-world-model svg --data episodes/push

  Size "published" has the published widths and batches; "small" has an eighth of the widths of convolutions, a quarter of
  those of codes and LSTMs.
  """
  run, part = oh(size), VIDEO_SIZES[size]
  world_model = run.agent.world_model
  assert isinstance(world_model, VideoModel)
  channels = tuple(units // part for units in (64, 128, 256, 512))
  latent = Gaussian(dims=10, min_std=1e-3)
  predictor = SVG(channels, stochastic=latent) if part == 1 else SVG(channels, code=32, units=64, stochastic=latent)
  world_model = replace(world_model, predictor=predictor, training=Variational())
  return replace(
    run,
    agent=replace(run.agent, world_model=world_model, optimizer=Adam(learning_rate=2e-3)),
    replay=replace(run.replay, batch_size=100 if part == 1 else 8, batch_length=12),
  )
