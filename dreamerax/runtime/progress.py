"""What a person sees while a run goes on."""

import sys
import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from dreamerax.runtime.counters import Counters

_SAMPLE_SECONDS = 0.5  # how often the display moves
_WINDOW_SECONDS = 30.0  # what rates are averaged over
_PLAIN_SECONDS = 10.0  # between lines where there is no terminal
_RECENT_EPISODES = 20


class Display:
  """Where lines appear, and on a terminal a bar below them for each run; one for all runs of a process."""

  def __init__(self, console: Console | None = None, *, quiet: bool = False):
    """
    Args:
      console: standard output by default.
      quiet: shows nothing: another process does.
    """
    self.console = console or Console(file=sys.stdout, quiet=quiet)
    self.bars: Bar | None = None
    if self.console.is_terminal:
      columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}"))
      self.bars = Bar(*columns, console=self.console, auto_refresh=False)

  def __enter__(self) -> "Display":
    if self.bars:
      self.bars.start()
    return self

  def __exit__(self, *_: object) -> None:
    """Leaves the bars as they stand."""
    if self.bars:
      self.bars.stop()


class Progress:
  """How a run stands: a bar on a terminal, a plain line every ten seconds elsewhere."""

  def __init__(self, total: int, counters: Counters, display: Display, name: str = ""):
    """
    Args:
      total: env steps of the whole run.
      counters: where it stands.
      name: begins every line, where several runs share a display.
    """
    self._display, self._total = display, total
    self._prefix = f"{name}: " if name else ""
    self._scores: deque[float] = deque(maxlen=_RECENT_EPISODES)
    self._samples: deque[tuple[float, Counters]] = deque()
    self.begin(counters)
    if display.bars:
      self._task = display.bars.add_task(name, total=total, completed=counters.env_steps)

  def say(self, line: str) -> None:
    """Prints a line, above the bar where there is one."""
    self._display.console.print(self._prefix + line, markup=False, highlight=False, soft_wrap=True)

  def episodes(self, scores: Sequence[float]) -> None:
    """Takes the returns of episodes that ended."""
    self._scores.extend(scores)

  def begin(self, counters: Counters) -> None:
    """Rates are those from here on: what came before, filling the replay or waiting, went at another pace."""
    self._printed = time.monotonic()
    self._samples = deque([(self._printed, counters)])

  def update(self, counters: Counters) -> None:
    """Shows how far the run is; cheap enough to call at every step."""
    now = time.monotonic()
    if now - self._samples[-1][0] < _SAMPLE_SECONDS:
      return
    self._samples.append((now, counters))
    while now - self._samples[0][0] > _WINDOW_SECONDS and len(self._samples) > 2:
      self._samples.popleft()
    if self._display.bars:
      line = self._prefix + self._line(counters)
      self._display.bars.update(self._task, completed=counters.env_steps, description=line, refresh=True)
    elif now - self._printed >= _PLAIN_SECONDS:
      self._printed = now
      self.say(self._line(counters))

  def _line(self, counters: Counters) -> str:
    (began, first), (ended, last) = self._samples[0], self._samples[-1]
    elapsed = max(ended - began, 1e-9)
    speed = (last.env_steps - first.env_steps) / elapsed
    parts = [f"{counters.env_steps:,}/{self._total:,} env steps"]
    if self._scores:
      parts.append(f"return {self._scores[-1]:.1f} (mean {sum(self._scores) / len(self._scores):.1f})")
    parts.append(f"{(last.updates - first.updates) / elapsed:.1f} updates/s")
    parts.append(f"{speed:.0f} env steps/s")
    if speed > 0:
      parts.append(f"{_duration((self._total - counters.env_steps) / speed)} left")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(max(0, round(seconds)), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}"
