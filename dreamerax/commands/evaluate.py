"""`dreamerax eval`: the return of a trained agent, and a film of it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from dreamerax import api

_FRAMES_PER_SECOND = 25


@dataclass(frozen=True)
class Arguments:
  """Scores the newest checkpoint of a run with mode actions, in environments of its own."""

  run_dir: Path
  """Run directory, as `dreamerax train` made it."""
  episodes: int = 10
  """Episodes to average over."""
  seed: int = 1
  """Of the environments."""
  video: Path | None = None
  """Also film the first episode: FILE.mp4 or FILE.gif."""

  def __post_init__(self):
    if self.episodes < 1:
      raise ValueError(f"episodes={self.episodes} must be at least 1")
    if self.video is not None and self.video.suffix not in (".mp4", ".gif"):
      raise ValueError(f"video={self.video}: the name must end in .mp4 or .gif")


def run(arguments: Arguments) -> int:
  """Prints mean and spread of the return; returns the exit status."""
  logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns that a checkpoint which is only read is only read
  result = api.evaluate(
    arguments.run_dir, episodes=arguments.episodes, seed=arguments.seed, video=arguments.video is not None
  )
  returns = result.returns
  print(
    f"return {returns.mean():.1f} ± {returns.std():.1f} over {len(returns)} episodes "
    f"(min {returns.min():.1f}, max {returns.max():.1f}; mean length {result.lengths.mean():.0f} agent steps)"
  )
  if arguments.video is not None:
    _write_video(arguments.video, result.video)
    print(f"video: {arguments.video}")
  return 0


def _write_video(path: Path, frames: np.ndarray | None) -> None:
  if frames is None:
    raise ValueError("video: this environment shows no pictures")
  path.parent.mkdir(parents=True, exist_ok=True)
  frames = frames.repeat(4, 1).repeat(4, 2)  # 64 pixels are small on a screen; H.264 wants even sides
  if path.suffix == ".mp4":
    # Otherwise ffmpeg is started by a fork of this process, which may hang beside JAX's threads.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    imageio.imwrite(path, frames, fps=_FRAMES_PER_SECOND, codec="libx264", macro_block_size=4)
  else:
    imageio.imwrite(path, frames, duration=1000 / _FRAMES_PER_SECOND, loop=0)
