"""`dreamerax pack`: a trained agent as a small run directory, to be given away."""

import logging
from dataclasses import dataclass
from pathlib import Path

from dreamerax import api
from dreamerax.commands.trusting import TrustOption
from dreamerax.replay.budget import size_of
from dreamerax.runtime.checkpoint import packed


@dataclass(frozen=True)
class Arguments(TrustOption):
  """Writes the agent of a run's newest checkpoint in half precision, without optimisers and replay. eval, video, dream, export
  and --init-world-model take the new directory as they take the run's; training does not go on there."""

  run_dir: Path
  """Run directory, as `dreamerax train` made it."""
  out: Path = Path("packed")
  """Directory to write, new or empty."""


def run(arguments: Arguments) -> int:
  """Writes the directory and prints its size; returns the exit status."""
  logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns that a checkpoint which is only read is only read
  api.pack_agent(arguments.run_dir, arguments.out, trust=arguments.trusted)
  print(f"{arguments.out}: {size_of(packed.size_of(arguments.out))}; see `dreamerax eval {arguments.out}`")
  return 0
