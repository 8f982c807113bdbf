"""Model sizes: the widths that presets are built with."""

from collections.abc import Mapping
from typing import NamedTuple


class Size(NamedTuple):
  """Widths of one DreamerV3 model size."""

  deter: int
  hidden: int
  classes: int
  depth: int  # of the convolutions
  units: int  # of all MLPs


SIZES: Mapping[str, Size] = {
  "1m": Size(512, 64, 4, 4, 64),
  "12m": Size(2048, 256, 16, 16, 256),
  "25m": Size(3072, 384, 24, 24, 384),
  "50m": Size(4096, 512, 32, 32, 512),
  "100m": Size(6144, 768, 48, 48, 768),
  "200m": Size(8192, 1024, 64, 64, 1024),
  "400m": Size(12288, 1536, 96, 96, 1536),
}


# PlaNet, Dreamer v1 and v2 were published in one size each; "small" has a quarter of its widths, for a CPU.
OLDER_SIZES: Mapping[str, int] = {"published": 1, "small": 4}

# Divides the published widths of models that predict frames; "small" is for a CPU.
VIDEO_SIZES: Mapping[str, int] = {"small": 8, "published": 1}
