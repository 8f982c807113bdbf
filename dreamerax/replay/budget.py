"""Computes how many bytes a replay may use, and how many steps fit in them."""

from collections.abc import Mapping
from dataclasses import dataclass

from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class Budget:
  """The outcome of `fit`: what was asked for and what is kept."""

  asked_steps: int
  max_bytes: int
  step_bytes: int  # payload of one row, over all columns
  streams: int
  rows: int  # per stream

  @property
  def steps(self) -> int:
    return self.streams * self.rows

  @property
  def nbytes(self) -> int:
    return self.steps * self.step_bytes

  def describe(self) -> str:
    """Says in one line the steps asked, the steps kept, and the bytes that both
    cost."""
    return (
      f"replay: {self.asked_steps:,} steps asked, {self.steps:,} fit in {size_of(self.nbytes)} "
      f"({self.step_bytes:,} bytes a step, {self.streams} x {self.rows:,}; budget {size_of(self.max_bytes)})"
    )


def fit(
  columns: Mapping[str, ArraySpec],
  *,
  asked_steps: int,
  max_bytes: int | None,
  streams: int,
  sequence: int,
  memory: int,
) -> Budget:
  """Gives every stream the same number of rows, as many as both the steps asked and the byte budget allow.

  Args:
    columns: what one row holds.
    asked_steps: steps wanted over all streams.
    max_bytes: byte budget; None is a quarter of `memory`.
    streams: how many streams share the budget.
    sequence: rows of one sampled sequence, its context included; a stream must hold at least these.
    memory: bytes of memory of this machine.

  Raises:
    ValueError: steps or bytes do not hold one sequence per stream, or the budget exceeds the machine's memory.
  """
  step_bytes = sum(spec.nbytes for spec in columns.values())
  if asked_steps // streams < sequence:
    raise ValueError(
      f"replay.capacity={asked_steps} holds less than one sequence of {sequence} steps for each of {streams} streams: "
      f"raise it to at least {sequence * streams}, or lower replay.batch_length{_fewer(asked_steps // sequence)}"
    )
  budget = memory // 4 if max_bytes is None else max_bytes
  rows = min(asked_steps // streams, budget // (step_bytes * streams))
  if rows < sequence:
    need = sequence * streams * step_bytes
    field = "a quarter of the memory" if max_bytes is None else "replay.max_bytes"
    raise ValueError(
      f"{field}={budget} holds less than one sequence of {sequence} steps of {step_bytes} bytes for each of {streams} "
      f"streams: set replay.max_bytes to at least {need}, or lower "
      f"replay.batch_length{_fewer(budget // (sequence * step_bytes))}"
    )
  result = Budget(asked_steps, budget, step_bytes, streams, rows)
  if result.nbytes > memory:
    raise ValueError(
      f"replay.max_bytes={budget} lets the replay grow to {size_of(result.nbytes)} on a machine of {size_of(memory)}: "
      f"lower replay.max_bytes or replay.capacity={asked_steps}"
    )
  return result


def _fewer(streams: int) -> str:
  """Advises so many environments at most; nothing where not even one fits."""
  return f" or the number of environments to at most {streams}" if streams else ""


def size_of(nbytes: int) -> str:
  """Writes a size for people, in MiB or GiB."""
  return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"
