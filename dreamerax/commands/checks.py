"""Prints what a check-up found."""

from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dreamerax.commands import printing
from dreamerax.words import printable


class Check(NamedTuple):
  """One line of the report."""

  name: str
  value: str
  problem: str = ""  # what is wrong and how to mend it; empty: nothing
  fatal: bool = False


def show(checks: Iterable[Check]) -> int:
  """Prints the checks as a table, then what is wrong; returns the exit status, 1 where something is fatal."""
  console, checks = printing.usable(Console()), list(checks)
  table = Table(box=None, padding=(0, 2), show_header=False)
  for check in checks:
    mark = "[red]✗[/red]" if check.fatal else "[yellow]![/yellow]" if check.problem else "[green]✓[/green]"
    table.add_row(mark, check.name, escape(printable(check.value)))
  console.print(table)
  problems = [check for check in checks if check.problem]
  for check in problems:
    console.print(f"[bold]{check.name}:[/bold] {escape(printable(check.problem))}", soft_wrap=True)
  if not problems:
    console.print("Nothing is wrong.")
  return 1 if any(check.fatal for check in checks) else 0
