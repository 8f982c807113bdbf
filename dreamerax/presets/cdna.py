"""Video prediction by moving pixels (Finn et al. 2016)."""

from dataclasses import replace

from dreamerax.ops.optimizers import Adam
from dreamerax.presets.oh import oh
from dreamerax.presets.sizes import VIDEO_SIZES
from dreamerax.run_config import RunConfig
from dreamerax.world_model.video.cdna import CDNA
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.scheduled_sampling import ScheduledSampling


def cdna(size: str) -> RunConfig:
  """Convolutional dynamic neural advection (Finn et al. 2016): convolutional LSTMs predict how pixels move.

  dreamerax record --task table/push --rendering fast --episodes 300 --out episodes/push
  dreamerax train-world-model cdna --data episodes/push

  Size "published" has the published widths and batches; "small" has an eighth of the widths, smaller convolutions, begins
  with the still frame, and sees its own predictions sooner.
  """
  run, part = oh(size), VIDEO_SIZES[size]
  world_model = run.agent.world_model
  assert isinstance(world_model, VideoModel)
  channels = tuple(units // part for units in (32, 32, 64, 64, 128, 64, 32))
  predictor = CDNA(channels) if part == 1 else CDNA(channels, side=3, still=3.0)
  world_model = replace(
    world_model, predictor=predictor, training=ScheduledSampling(decay=900.0 if part == 1 else 200.0)
  )
  return replace(
    run,
    agent=replace(run.agent, world_model=world_model, optimizer=Adam(learning_rate=1e-3)),
    replay=replace(run.replay, batch_size=32 if part == 1 else 8, batch_length=10),
  )
