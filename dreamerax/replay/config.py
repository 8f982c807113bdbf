"""Configures a replay."""

from dataclasses import dataclass
from typing import Literal

from dreamerax import checks


@dataclass(frozen=True)
class ReplayConfig:
  """Configuration of a replay: how much it keeps, and how large a batch is."""

  capacity: int = 1_000_000  # agent steps over all streams
  max_bytes: int | None = None  # None: a quarter of the machine's memory; the smaller of steps and bytes wins
  max_disk_bytes: int | None = (
    None  # of the log; None: as the newest steps and those of two checkpoints take; 0: no log
  )
  batch_size: int = 16  # B, sequences
  batch_length: int = 64  # T, agent steps that are trained on
  context: int = 1  # 1: batches carry the latents stored one step before; 0: no latents are kept
  online: bool = True  # hand out the newest sequences once before drawing uniformly
  draw: Literal["uniform", "newest"] = "uniform"
  """uniform: sequences begin anywhere. newest: B whole episodes of exactly T rows, the newest of each stream."""
  older: int = 0
  """With draw="newest": episodes of any age that follow each of the newest ones in a batch, drawn uniformly."""

  def __post_init__(self):
    checks.at_least(1, self, "capacity", "batch_size", "batch_length", group="replay.")
    checks.at_least(0, self, "older", group="replay.")
    if self.older and self.draw != "newest":
      raise ValueError(f"replay.older={self.older} counts whole episodes: give --replay.draw newest, or leave it out")
    if self.batch_size % (1 + self.older):
      raise ValueError(
        f"replay.batch_size={self.batch_size} is not a multiple of {1 + self.older}, one of the newest episodes and "
        f"replay.older={self.older} others: choose one that is"
      )
    if self.draw not in ("uniform", "newest"):
      raise ValueError(f"replay.draw={self.draw!r} must be uniform or newest")
    if self.draw == "newest" and (self.online or self.context):
      raise ValueError(
        f"replay.draw='newest' begins at the first rows of episodes, and replay.online={self.online} and "
        f"replay.context={self.context} are for sequences that begin anywhere: give --no-replay.online --replay.context 0"
      )
    if self.context not in (0, 1):
      raise ValueError(f"replay.context={self.context} must be 0 (start from zero latents) or 1 (from stored ones)")
    if self.max_bytes is not None and self.max_bytes < 1:
      raise ValueError(f"replay.max_bytes={self.max_bytes} must be positive, or None for a quarter of the memory")
    if self.max_disk_bytes is not None and self.max_disk_bytes < 0:
      raise ValueError(
        f"replay.max_disk_bytes={self.max_disk_bytes} must be at least 0 (nothing on disk), or None for what is needed"
      )

  @property
  def sequence(self) -> int:
    """Rows of one sequence of a batch, its context included."""
    return self.context + self.batch_length
