"""`dreamerax video`: behaviour beside the world model's dream of it."""

import logging
from dataclasses import dataclass
from pathlib import Path

from dreamerax import checks
from dreamerax.analysis import dream
from dreamerax.commands import video_file
from dreamerax.commands.trusting import TrustOption
from dreamerax.runtime.seeds import check_seed
from dreamerax.words import number_of


@dataclass(frozen=True)
class Arguments(TrustOption):
  """Films an episode of a run's newest checkpoint with mode actions: what happened, what the model makes of it, the error,
  and the goal where there is one, side by side. Under a green strip the model sees the frames; under a red one it dreams them
  from the actions alone."""

  run_dir: Path
  """Run directory, as `dreamerax train` made it."""
  out: Path = Path("dream.mp4")
  """FILE.mp4 or FILE.gif."""
  steps: int = 250
  """Decisions to play at most; an episode is not gone beyond."""
  context: int = 5
  """Steps that the model sees before each dream."""
  horizon: int = 45
  """Steps of each dream."""
  fps: float = 15.0
  """Frames a second."""
  seed: int = 1
  """Of the environment and of all draws."""

  def __post_init__(self):
    check_seed(self.seed)
    video_file.check_name("out", self.out)
    checks.at_least(1, self, "steps", "context", "horizon")
    checks.more_than_zero(self, "fps")


def run(arguments: Arguments) -> int:
  """Writes the film and prints how wrong the dreams are; returns the exit status."""
  logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns that a checkpoint which is only read is only read
  dreamt = dream.dream(
    arguments.run_dir,
    steps=arguments.steps,
    context=arguments.context,
    horizon=arguments.horizon,
    seed=arguments.seed,
    trust=arguments.trusted,
  )
  video_file.write(arguments.out, dream.film(dreamt), arguments.fps)
  errors = dreamt.errors()
  print(f"{arguments.out}: {number_of(len(errors), 'step')} of an episode, return {dreamt.rewards.sum():.1f} in them")
  print(
    "mean absolute error of a pixel, of 255: "
    f"{255 * errors[dreamt.seen].mean():.1f} seen, {255 * errors[~dreamt.seen].mean():.1f} dreamt"
  )
  return 0
