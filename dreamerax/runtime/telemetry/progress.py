"""Shows a person how a run goes on."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dreamerax.runtime.counters import Counters

_SAMPLE_SECONDS = 0.5  # how often the display moves
_WINDOW_SECONDS = 30.0  # what rates are averaged over
_SETTLED_SECONDS = 5.0  # of training, before its pace says when the run will end
_PLAIN_SECONDS = 10.0  # between lines where there is no terminal
_RECENT_EPISODES = 20
_NARROWEST_BAR, _WIDEST_BAR = 8, 40  # characters; between, a fifth of the terminal
_GAP = "  "


class Display:
  """Prints lines, and on a terminal a bar below them for each run; all runs of a
  process share one."""

  def __init__(self, console: Console | None = None, *, quiet: bool = False):
    """
    Args:
      console: standard output by default.
      quiet: shows nothing: another process does.
    """
    self.console = console or Console(file=sys.stdout, quiet=quiet)
    self._runs: list[Progress] = []
    self._live: Live | None = None
    if self.console.is_terminal and not self.console.is_dumb_terminal:
      self._live = Live(
        console=self.console, get_renderable=self._bars, refresh_per_second=1 / _SAMPLE_SECONDS, transient=True
      )

  @property
  def has_bars(self) -> bool:
    """Whether bars are drawn, without being asked to; else runs print lines."""
    return self._live is not None

  def add(self, run: "Progress") -> None:
    """Draws a bar for a run from here on."""
    self._runs.append(run)

  def say(self, line: str) -> None:
    """Prints a line, above the bars where there are any."""
    self.console.print(line, markup=False, highlight=False, soft_wrap=True)

  def __enter__(self) -> "Display":
    if self._live:
      self._live.start()
    return self

  def __exit__(self, *_: object) -> None:
    """Takes the bars away: lines say what the runs have reached."""
    if self._live:
      self._live.stop()

  def _bars(self) -> Group:
    return Group(*(run.bar(self.console.width) for run in list(self._runs)))


class Progress:
  """Shows how far a run is: a bar on a terminal, a plain line every ten seconds
  elsewhere.

  A run waits for something, until it trains. The time left follows from training's own pace, and from how long the last
  evaluation took; before there is a pace, no time is told.
  """

  def __init__(
    self,
    total: int,
    counters: Counters,
    display: Display,
    name: str = "",
    *,
    eval_every: int = 0,
    unit: Literal["env steps", "updates"] = "env steps",
  ):
    """
    Args:
      total: length of the whole run, in `unit`.
      counters: where it stands; `env_steps` counts what `unit` says.
      name: begins every line, where several runs share a display.
      eval_every: so many units between evaluations; 0: there is one at the end only.
      unit: what the run's length is told in.
    """
    self._display, self._total, self._eval_every = display, total, eval_every
    self._prefix, self._unit, self._loss = f"{name}: " if name else "", unit, None
    self._scores: deque[float] = deque(maxlen=_RECENT_EPISODES)
    self._counters = counters
    self._printed = time.monotonic()
    self._paused = 0.0  # seconds of evaluations, which are no part of training's pace
    self._evaluation = 0.0  # seconds that the last one took
    self._samples: deque[tuple[float, Counters]] = (
      deque()
    )  # of training; the first ones wait for an update to have ended
    self._first_update: int | None = None
    self._waits: Callable[[], str] | None = lambda: "starting"
    display.add(self)

  def say(self, line: str) -> None:
    """Prints a line, above the bar where there is one."""
    self._display.say(self._prefix + line)

  def episodes(self, scores: Sequence[float]) -> None:
    """Takes the returns of episodes that ended."""
    self._scores.extend(scores)

  def loss(self, value: float) -> None:
    """Takes the newest loss, of a run that has no returns."""
    self._loss = value

  def wait_for(self, what: Callable[[], str]) -> None:
    """Tells that the run does something else than train, until `begin`; `what` says at
    any time, in any thread, what that is."""
    self._waits = what

  def tick(self) -> None:
    """Shows what is waited for; cheap enough to call many times a second."""
    self._print_now_and_then()

  def begin(self, counters: Counters) -> None:
    """Tells that training goes on at its own pace from here on."""
    self._waits, self._counters = None, counters
    self._first_update = counters.updates
    self._samples = deque([(self._now(), counters)])

  @contextmanager
  def evaluating(self, on: str) -> Iterator[None]:
    """An evaluation, during which training stands still. on: what it is made on, for people."""
    began, before = time.monotonic(), self._waits
    self.wait_for(lambda: f"evaluating, {on}: {_since(began)}")
    try:
      yield
    finally:
      self._waits, self._evaluation = before, time.monotonic() - began
      self._paused += self._evaluation

  def update(self, counters: Counters) -> None:
    """Takes how far the run is; cheap enough to call at every step."""
    self._counters = counters
    now = self._now()
    if self._first_update is not None and counters.updates > self._first_update:
      # What comes before is of another pace: programs that act are compiled at their first step.
      self._first_update, self._samples = None, deque([(now, counters)])
    elif self._samples and now - self._samples[-1][0] >= _SAMPLE_SECONDS:
      samples = self._samples.copy()
      samples.append((now, counters))
      while now - samples[0][0] > _WINDOW_SECONDS and len(samples) > 2:
        samples.popleft()
      self._samples = samples  # the thread that draws sees the old ones or the new ones
    self._print_now_and_then()

  def bar(self, width: int) -> Table:
    """The run in a line of so many characters."""
    size = min(max(width // 5, _NARROWEST_BAR), _WIDEST_BAR)
    done = min(self._counters.env_steps / self._total, 1)
    percent = f"{int(100 * done):3d}%"
    text = _fit(self._parts(), width - size - len(percent) - 2 - len(self._prefix))
    line = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(3):
      line.add_column(no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(total=self._total, completed=self._counters.env_steps, width=size)
    line.add_row(bar, percent, Text(self._prefix + text, no_wrap=True, overflow="ellipsis"))
    return line

  def _print_now_and_then(self) -> None:
    if self._display.has_bars:
      return
    now = time.monotonic()
    if now - self._printed >= _PLAIN_SECONDS:
      self._printed = now
      self.say(_GAP.join(text for _, text in self._parts()))

  def _parts(self) -> list[tuple[int, str]]:
    """Returns the words of a line in their order, with their rank: where room is short,
    the last in rank is left out."""
    waits, steps = self._waits, f"{self._counters.env_steps:,}/{self._total:,} {self._unit}"
    if waits is not None:
      return [(0, waits()), (1, steps)]
    (began, first), (ended, last) = self._samples[0], self._samples[-1]
    elapsed = max(ended - began, 1e-9)
    speed = (last.env_steps - first.env_steps) / elapsed
    parts = [(1, steps)]
    if self._scores:
      parts.append((2, f"return {self._scores[-1]:.1f}"))
      parts.append((5, f"(mean of {len(self._scores)}: {sum(self._scores) / len(self._scores):.1f})"))
    if self._loss is not None:
      parts.append((2, f"loss {self._loss:.2f}"))
    if last.env_steps > first.env_steps:
      parts.append((4, f"{(last.updates - first.updates) / elapsed:.1f} updates/s"))
      if self._unit != "updates":
        parts.append((3, f"{speed:.0f} {self._unit}/s"))
    if elapsed >= _SETTLED_SECONDS and speed > 0:
      parts.insert(0, (0, f"{_clock(self._left(speed))} left"))
    return parts

  def _left(self, speed: float) -> float:
    """Seconds until the end, evaluations included."""
    now = self._counters.env_steps
    evaluations = 1 + (
      max(self._total - 1, now) // self._eval_every - now // self._eval_every if self._eval_every else 0
    )
    return max(self._total - now, 0) / speed + evaluations * self._evaluation

  def _now(self) -> float:
    """Seconds, without those of evaluations."""
    return time.monotonic() - self._paused


def _fit(parts: Sequence[tuple[int, str]], room: int) -> str:
  kept = list(parts)
  while len(kept) > 1 and sum(len(text) for _, text in kept) + len(_GAP) * (len(kept) - 1) > room:
    kept.remove(max(kept))
  return _GAP.join(text for _, text in kept)


def _since(began: float) -> str:
  return f"{time.monotonic() - began:.0f} s"


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(max(0, round(seconds)), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}"
