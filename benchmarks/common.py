"""Describes the machine, takes times and prints results, for every benchmark."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from dreamerax.replay import ReplayConfig


def machine() -> dict[str, Any]:
  """The machine, the commit and the versions a figure belongs to.

  Devices and JAX's version are named only where the caller has imported jax, so that a host-only benchmark stays so.
  """
  description: dict[str, Any] = {
    "cpu": _cpu_name(),
    "cores": len(os.sched_getaffinity(0)),
    "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
    "python": platform.python_version(),
    "commit": _commit(),
  }
  jax = sys.modules.get("jax")
  if jax is not None:
    description["jax"] = jax.__version__
    description["devices"] = [device.device_kind for device in jax.devices()]
  return description


def timed(fn: Callable[[], Any], repeats: int) -> dict[str, float]:
  """Seconds of one call to `fn`: {"median", "min", "max"} of `repeats` calls, after one that is not counted.

  `fn` must finish its own work: with JAX it ends in `jax.block_until_ready`.
  """
  if repeats < 1:
    raise ValueError(f"repeats={repeats}: take at least one measurement.")
  fn()
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    fn()
    seconds.append(time.perf_counter() - start)
  return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def with_batch(config: ReplayConfig, size: int | None, length: int | None) -> ReplayConfig:
  """With batches of so many sequences, and sequences of so many steps; None keeps the preset's own."""
  return replace(config, batch_size=size or config.batch_size, batch_length=length or config.batch_length)


def report(rows: Sequence[Mapping[str, Any]]) -> None:
  """Prints each row as one line of JSON on standard output, then all of them as a table on standard error.

  So `python -m benchmarks.env > results.jsonl` collects figures while a person still reads the table.
  """
  for row in rows:
    print(json.dumps(row, default=_plain), flush=True)
  if not rows:
    return
  columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "machine"]
  # What all rows share stands above the table once, which keeps it narrow enough to read.
  shared = [name for name in columns if len({_cell(row.get(name)) for row in rows}) == 1] if len(rows) > 1 else []
  columns = [name for name in columns if name not in shared]
  title = ", ".join(f"{name} {_cell(rows[0].get(name))}" for name in shared)
  cells = [[_cell(row.get(name)) for name in columns] for row in rows]
  console = Console(stderr=True)
  table = Table(*columns)
  for row in cells:
    table.add_row(*row)
  if table.__rich_measure__(console, console.options.update(width=10_000)).maximum > console.width:
    # Too wide: one line for each figure, one column for each row.
    table = Table(*[""] * (len(rows) + 1), show_header=False)
    for name, values in zip(columns, zip(*cells, strict=True), strict=True):
      table.add_row(name, *values)
  if title:
    console.print(title, highlight=False)
  console.print(table)


def _cell(value: Any) -> str:
  return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _plain(value: Any) -> Any:
  """NumPy and JAX scalars and arrays, for JSON."""
  return value.tolist()


def _cpu_name() -> str:
  for line in Path("/proc/cpuinfo").read_text().splitlines():
    if line.startswith("model name"):
      return line.split(":", 1)[1].strip()
  return platform.machine()


def _commit() -> str | None:
  """The commit of the tree this file lies in, with "+" when the tree has changes; None outside a git clone."""
  root = Path(__file__).resolve().parent.parent
  try:
    description = subprocess.run(
      ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
      cwd=root,
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return description.stdout.strip()
