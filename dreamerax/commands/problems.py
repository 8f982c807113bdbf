"""Prints what a check-up found."""

from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dreamerax.commands import printing
from dreamerax.words import printable


class Finding(NamedTuple):
  """One line of the report."""

  name: str
  value: str
  problem: str = ""  # what is wrong and how to mend it; empty: nothing
  fatal: bool = False


def show(findings: Iterable[Finding]) -> int:
  """Prints the findings as a table, then what is wrong; returns the exit status, 1 where something is fatal."""
  console, findings = printing.usable(Console()), list(findings)
  table = Table(box=None, padding=(0, 2), show_header=False)
  for finding in findings:
    mark = "[red]✗[/red]" if finding.fatal else "[yellow]![/yellow]" if finding.problem else "[green]✓[/green]"
    table.add_row(mark, finding.name, escape(printable(finding.value)))
  console.print(table)
  problems = [finding for finding in findings if finding.problem]
  for finding in problems:
    console.print(f"[bold]{finding.name}:[/bold] {escape(printable(finding.problem))}", soft_wrap=True)
  if not problems:
    console.print("Nothing is wrong.")
  return 1 if any(finding.fatal for finding in findings) else 0
