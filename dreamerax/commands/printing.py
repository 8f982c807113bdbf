"""Prints tables on a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dreamerax.words import printable

_NARROW, _USUAL = 20, 80  # characters a line
_WIDE = 200  # characters a line where there is no terminal: a file has no edge to wrap at


def console() -> Console:
  """Makes a console as wide as the terminal."""
  found = Console()
  return usable(found) if found.is_terminal else Console(width=_WIDE)


def usable(console: Console) -> Console:
  """One that is wide enough to print on: where COLUMNS is 0 nothing would be printed."""
  return console if console.width >= _NARROW else Console(width=_USUAL)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], colors: Mapping[str, str] | None = None) -> Table:
  """colors: of cells, by what they say."""
  made, colors = Table(*header, box=None, padding=(0, 2, 0, 0)), colors or {}
  for row in rows:
    cells = (printable(cell) for cell in row)
    made.add_row(*(f"[{colors[cell]}]{escape(cell)}[/]" if cell in colors else escape(cell) for cell in cells))
  return made
