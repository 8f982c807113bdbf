"""`dreamerax eval`: the return of a trained agent, and a film of it."""

import logging
from dataclasses import dataclass
from pathlib import Path

from dreamerax import api, captions, checks
from dreamerax.commands import video_file
from dreamerax.commands.trusting import TrustOption
from dreamerax.envs.faults import NoPicture
from dreamerax.runtime.seeds import check_seed
from dreamerax.words import number_of

_FRAMES_PER_SECOND = 25


@dataclass(frozen=True)
class Arguments(TrustOption):
  """Scores the newest checkpoint of a run with mode actions, in environments of its own."""

  run_dir: Path
  """Run directory, as `dreamerax train` made it."""
  episodes: int = 10
  """Episodes to average over."""
  seed: int = 1
  """Of the environments."""
  task: str | None = None
  """Another task than the run's, which shows and takes the same."""
  video: Path | None = None
  """Also film the first episode: FILE.mp4 or FILE.gif."""

  def __post_init__(self):
    check_seed(self.seed)
    checks.at_least(1, self, "episodes")
    if self.video is not None:
      video_file.check_name("video", self.video)


def run(arguments: Arguments) -> int:
  """Prints mean and spread of the return; returns the exit status."""
  logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns that a checkpoint which is only read is only read
  try:
    result = api.evaluate(
      arguments.run_dir,
      episodes=arguments.episodes,
      seed=arguments.seed,
      video=arguments.video is not None,
      task=arguments.task,
      trust=arguments.trusted,
    )
  except NoPicture as error:
    raise ValueError(
      f"video={arguments.video}: the environment shows no images, and {error}; or leave --video out"
    ) from error
  returns = result.returns
  print(
    f"return {returns.mean():.1f} ± {returns.std():.1f} over {number_of(len(returns), 'episode')} "
    f"(min {returns.min():.1f}, max {returns.max():.1f})\nmean length: {result.lengths.mean():.0f} agent steps"
  )
  for name, value in result.logs.items():
    print(f"mean {name}: {value:.4g}")
  if result.cut:
    print(f"{result.cut} of them were cut after {result.lengths.max():,} agent steps, and count as they are")
  if arguments.video is not None:
    assert result.video is not None and result.rewards is not None
    video_file.write(arguments.video, captions.scored(result.video, result.rewards), _FRAMES_PER_SECOND)
    print(f"video: {arguments.video}")
  return 0
