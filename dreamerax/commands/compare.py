"""`dreamerax compare`: runs beside published scores."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.markup import escape

from dreamerax import checks
from dreamerax.analysis.compare import Comparison, compare
from dreamerax.analysis.reference import load_reference
from dreamerax.analysis.runs import find_runs, group
from dreamerax.analysis.tables import caveats, comparison_rows
from dreamerax.commands import printing

_COLORS = {"above": "green", "reached": "green", "below": "red", "unclear": "yellow"}


@dataclass(frozen=True)
class Arguments:
  """Compares runs with published scores: per task, at the same env steps, as the mean over the same window. The exit status
  is 0 where every task reaches them, 1 where one does not or cannot be compared, 2 where the comparison is refused."""

  runs: tuple[Path, ...]
  """Run directories, or directories of them."""
  against: str = "dreamerv3"
  """A method of the published table, or the authors' score file: FILE.json or FILE.json.gz."""
  at: int | None = None
  """Env steps to compare at; by default the most that all seeds of a task have reached."""
  returns: Literal["evaluation", "training"] | None = None
  """Which of the runs' returns; by default those that the published ones are of."""
  tolerance: float = 1.0
  """A task is reached if it is at most so many of their standard deviations below theirs,"""
  margin: float = 10.0
  """or at most so many thousandths of the highest return."""

  def __post_init__(self):
    if not self.runs:
      raise ValueError("runs is empty: name at least one run directory")
    checks.at_least(0, self, "tolerance", "margin")


def run(arguments: Arguments) -> int:
  """Prints a table with what is unequal, then each of that in words; returns the exit status.

  Raises:
    ValueError: unknown method or file. FileNotFoundError: no run is there.
  """
  reference = load_reference(arguments.against)
  runs = find_runs(arguments.runs)
  for line in runs.told():
    print(line, file=sys.stderr)
  settings = group(runs.runs)
  found = compare(
    settings,
    reference,
    at=arguments.at,
    returns=arguments.returns,
    tolerance=arguments.tolerance,
    margin=arguments.margin,
  )
  _show(found, arguments.against)
  return 0 if all(each.verdict in ("above", "reached") for each in found) else 1


def _show(found: Sequence[Comparison], against: str) -> None:
  console = printing.console()
  console.print(printing.table(*comparison_rows(found, against), _COLORS))
  for heading, words in caveats(found).items():
    console.print(f"\n[bold]{escape(heading)}[/bold]", soft_wrap=True)
    for caveat in words:
      console.print(f"  - {escape(caveat)}", soft_wrap=True, highlight=False)
