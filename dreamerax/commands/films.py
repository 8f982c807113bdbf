"""Films as files."""

import os
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

_SIZE = 4  # of a pixel on the screen, on which 64 pixels are small; H.264 wants even sides


def check_name(name: str, path: Path) -> None:
  """Raises ValueError unless the file is to be MP4 or GIF. name: of the option."""
  if path.suffix not in (".mp4", ".gif"):
    raise ValueError(f"{name}={path}: the name must end in .mp4 or .gif")


def write(path: Path, frames: np.ndarray, frames_per_second: float) -> None:
  """frames: uint8 [T, H, W, 3]."""
  path.parent.mkdir(parents=True, exist_ok=True)
  frames = frames.repeat(_SIZE, 1).repeat(_SIZE, 2)
  if path.suffix == ".mp4":
    # Otherwise ffmpeg is started by a fork of this process, which may hang beside JAX's threads.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    imageio.imwrite(path, frames, fps=frames_per_second, codec="libx264", macro_block_size=4)
  else:
    imageio.imwrite(path, frames, duration=1000 / frames_per_second, loop=0)
