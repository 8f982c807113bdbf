"""R2-Dreamer (Morihira et al. 2026)."""

from dataclasses import replace

from dreamerax.nets.decoders import ConvDecoder
from dreamerax.presets.dreamer_v3 import dreamer_v3
from dreamerax.presets.sizes import SIZES
from dreamerax.run_config import RunConfig
from dreamerax.world_model.objectives.barlow import Barlow
from dreamerax.world_model.objectives.kl import FreeBits
from dreamerax.world_model.objectives.probe import Probe


def dreamer_r2(size: str) -> RunConfig:
  """R2-Dreamer (Morihira et al. 2026, arXiv 2603.18202): DreamerV3 with redundancy reduction in place of the decoder.

  dreamerax train dreamer-r2 --task dmc/walker_walk --size 12m

  It decodes nothing. `--agent.world-model.objectives.probe.sequences 2` lets a decoder learn from two sequences of each
  batch, and teach the model nothing, so that there are pictures to look at.
  """
  run, widths = dreamer_v3(size), SIZES[size]
  objectives = {
    "barlow": Barlow(),
    "kl": FreeBits(),
    "probe": Probe(ConvDecoder(depth=widths.depth, units=widths.units), sequences=0),
  }
  return replace(run, agent=replace(run.agent, world_model=replace(run.agent.world_model, objectives=objectives)))
