"""Writes films to files."""

import os
import tempfile
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from dreamerax import files


def check_name(name: str, path: Path) -> None:
  """Raises ValueError unless the file is to be MP4 or GIF. name: of the option."""
  if path.suffix not in (".mp4", ".gif"):
    raise ValueError(f"{name}={path}: the name must end in .mp4 or .gif")


def write(path: Path, frames: np.ndarray, frames_per_second: float) -> None:
  """frames: uint8 [T, H, W, 3]. Raises ValueError where a symbolic link has the name."""
  path.parent.mkdir(parents=True, exist_ok=True)
  odd = [(0, side % 2) for side in frames.shape[1:3]]  # H.264 wants even sides
  frames = np.pad(frames, [(0, 0), *odd, (0, 0)])
  if path.suffix == ".mp4":
    # Otherwise ffmpeg is started by a fork of this process, which may hang beside JAX's threads.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    options = {"fps": frames_per_second, "codec": "libx264", "macro_block_size": 2}
  else:
    options = {"duration": 1000 / frames_per_second, "loop": 0}
  with tempfile.TemporaryDirectory() as folder:
    film = Path(folder) / path.name
    imageio.imwrite(film, frames, **options)
    files.write_whole(path, film.read_bytes())
