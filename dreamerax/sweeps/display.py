"""Shows how a sweep stands: a table on a terminal, plain lines elsewhere."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dreamerax.sweeps.manifest import Manifest, Record

_ORDER = ("running", "failed", "waiting", "finished")  # from the top; a small terminal cuts the end off
_STYLES = {"running": "cyan", "failed": "red", "waiting": "dim", "finished": "green"}
_PLAIN_SECONDS = 60.0  # between summaries where there is no terminal
_TABLE_SECONDS = 0.5


class SweepDisplay:
  """Shows a manifest as it changes."""

  def __init__(self, manifest: Manifest, console: Console | None = None):
    self._manifest = manifest
    self._console = console or Console(file=sys.stdout)
    self._shown = time.monotonic()
    self._live: Live | None = None
    if self._console.is_terminal:
      self._live = Live(make_table(manifest), console=self._console, auto_refresh=False)
      self._live.start()

  def say(self, line: str) -> None:
    """Prints a line, above the table where there is one."""
    self._console.print(line, markup=False, highlight=False, soft_wrap=True)

  def changed(self, name: str) -> None:
    """Tells of a trial whose state is another now; on a terminal the table does."""
    record = self._manifest[name]
    if not self._live:
      self.say(f"{name}: {describe(record)}")
    elif record.state == "failed":
      self.say(f"{name}: failed: {record.reason}")

  def update(self) -> None:
    """Shows how far the trials are; cheap enough to call often."""
    elapsed = time.monotonic() - self._shown
    if self._live and elapsed >= _TABLE_SECONDS:
      self._live.update(make_table(self._manifest), refresh=True)
    elif not self._live and elapsed >= _PLAIN_SECONDS:
      running = [(name, record) for name, record in self._manifest.items() if record.state == "running"]
      self.say("\n".join([summarise(self._manifest), *(f"  {name}: {describe(record)}" for name, record in running)]))
    else:
      return
    self._shown = time.monotonic()

  def close(self) -> None:
    """Leaves the table as it stands at the end."""
    if self._live:
      self._live.update(make_table(self._manifest), refresh=True)
      self._live.stop()
    else:
      self.say(summarise(self._manifest))


def describe(record: Record) -> str:
  """A record in one line."""
  parts = [record.state + (f" (attempt {record.attempts})" if record.attempts > 1 else "")]
  if record.env_steps:
    parts.append(f"{record.env_steps:,}/{record.total:,} env steps")
  if record.eval_return is not None:
    parts.append(f"return {record.eval_return:.1f}")
  if record.reason:
    parts.append(record.reason)
  return ", ".join(parts)


def summarise(manifest: Manifest) -> str:
  """Says how many trials are in which state."""
  return "trials: " + ", ".join(f"{manifest.count(state)} {state}" for state in ("finished", *_ORDER[:-1]))


def make_table(manifest: Manifest) -> Table:
  """A row for each trial, what runs first."""
  table = Table(box=None, padding=(0, 1), caption=summarise(manifest), caption_justify="left")
  table.add_column("trial", overflow="fold")
  for name in ("state", "tries", "env steps", "return", "min"):
    table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
  for name, record in sorted(manifest.items(), key=lambda item: _ORDER.index(item[1].state)):
    score = "" if record.eval_return is None else f"{record.eval_return:.1f}"
    reached, minutes = f"{record.env_steps:,}/{record.total:,}", f"{record.seconds / 60:.0f}"
    table.add_row(name, record.state, str(record.attempts), reached, score, minutes, style=_STYLES[record.state])
  return table
