"""`dreamerax dream`: a page on which a person steers inside the learned world model."""

import logging
from dataclasses import dataclass
from pathlib import Path

from dreamerax import api, checks
from dreamerax.commands.trusting import TrustOption
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.learn.compilation import enable_cache
from dreamerax.runtime.seeds import check_seed
from dreamerax.viewer.dreams import Dreamer
from dreamerax.viewer.server import Server
from dreamerax.viewer.sessions import Sessions
from dreamerax.viewer.starts import find_starts


@dataclass(frozen=True)
class Arguments(TrustOption):
  """Serves a page on this machine's loopback address, for its own browsers only. There you act, or let the agent act, in the
  world model of a run's newest checkpoint. The run may go on training meanwhile. Ctrl-C ends it."""

  run_dir: Path
  """Run directory, as `dreamerax train` made it."""
  port: int = 8421
  """Where the page is; 0 takes any that is free."""
  context: int = 20
  """Steps that the model sees before it dreams on from a replayed state."""
  seed: int = 0
  """Of all draws, and of the episodes that dreams begin from where the run has no replay on disk."""

  def __post_init__(self):
    if not 0 <= self.port < 2**16:
      raise ValueError(f"port={self.port} must lie in [0, 65535]")
    checks.at_least(1, self, "context")
    check_seed(self.seed)


def run(arguments: Arguments) -> int:
  """Serves until Ctrl-C; returns the exit status.

  Raises:
    FileNotFoundError: no run or no checkpoint is there. ValueError: it does not fit this version, or the port is in use.
  """
  logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns that a checkpoint which is only read is only read
  enable_cache()
  directory = RunDirectory.open(arguments.run_dir, arguments.trusted)
  config, dreamer = directory.config, Dreamer(*api.agent_of(directory))
  starts = find_starts(arguments.run_dir, config, arguments.context, arguments.seed)
  title = {"run": arguments.run_dir.resolve().name, "task": config.env.task}
  sessions = Sessions(dreamer, starts, title=title, seed=arguments.seed)
  with Server(sessions, arguments.port) as server:
    print(f"{server.url}: steer in the world model of {arguments.run_dir}; Ctrl-C ends", flush=True)
    try:
      server.serve_forever()
    except KeyboardInterrupt:
      print()
  return 0
