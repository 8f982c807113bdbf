"""What a run writes down: metrics.jsonl for programs, TensorBoard events for people. X-axes are env steps."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

from dreamerax.runtime.counters import Counters

_FRAMES_PER_SECOND = 20


def read_metrics(path: Path) -> list[dict]:
  """The lines of a metrics.jsonl, without a last line that a crash has torn.

  Raises:
    ValueError: another line is not JSON.
  """
  lines = path.read_bytes().splitlines(keepends=True)
  rows = []
  for number, line in enumerate(lines, 1):
    if number == len(lines) and not line.endswith(b"\n"):
      break
    try:
      rows.append(json.loads(line))
    except ValueError as error:
      raise ValueError(f"{path}, line {number}: not JSON; delete that line") from error
  return rows


class MetricsWriter:
  """Appends to logdir/metrics.jsonl and to TensorBoard events in logdir.

  Every line carries env_steps, agent_steps, updates and seconds (since the run began, over restarts). A number that is
  not finite is written as null.
  """

  def __init__(self, logdir: Path, *, after: int = -1):
    """
    Args:
      after: env steps of the checkpoint that the run continues from; later lines are dropped, -1 drops all.
    """
    self._path = logdir / "metrics.jsonl"
    self._truncate(after)
    self._lines = self._path.open("ab", buffering=0)
    # TensorBoard hides events from purge_step on that an interrupted run has written.
    self._board = SummaryWriter(str(logdir), purge_step=after + 1 if after >= 0 else None)

  def write(self, counters: Counters, seconds: float, scalars: Mapping[str, float]) -> None:
    """Writes one line, and each scalar for TensorBoard."""
    values = {name: float(value) for name, value in scalars.items()}
    row = {**counters._asdict(), "seconds": round(seconds, 3)}
    row |= {name: value if math.isfinite(value) else None for name, value in values.items()}
    self._lines.write(json.dumps(row, allow_nan=False).encode() + b"\n")
    for name, value in values.items():
      self._board.add_scalar(name, value, counters.env_steps)

  def video(self, counters: Counters, name: str, frames: np.ndarray) -> None:
    """An animation for TensorBoard. frames: uint8 [T, H, W, 3]."""
    _, height, width, channels = frames.shape
    encoded = imageio.imwrite("<bytes>", frames, extension=".gif", duration=1000 / _FRAMES_PER_SECOND, loop=0)
    image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded)
    # SummaryWriter.add_video would need moviepy for what the line above does.
    summary = Summary(value=[Summary.Value(tag=name, image=image)])
    assert self._board.file_writer is not None
    self._board.file_writer.add_summary(summary, counters.env_steps)

  def flush(self) -> None:
    """Everything written so far reaches the files."""
    self._board.flush()

  def close(self) -> None:
    """Flushes and closes the files."""
    self._lines.close()
    self._board.close()

  def _truncate(self, after: int) -> None:
    if not self._path.exists():
      return
    kept = [row for row in read_metrics(self._path) if row["env_steps"] <= after]
    new = self._path.with_suffix(".new")
    new.write_text("".join(json.dumps(row) + "\n" for row in kept))
    os.replace(new, self._path)
