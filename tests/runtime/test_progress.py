"""The display: a bar on a terminal, lines elsewhere."""

import io

import pytest
from rich.console import Console

from dreamerax.runtime import progress
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.timing import Interval


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
  now = [100.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  return now


def test_a_plain_line_every_ten_seconds_tells_rates_and_the_time_left(clock: list[float]):
  out = io.StringIO()
  shown = progress.Progress(2000, Counters(), progress.Display(Console(file=out, width=200)))
  shown.episodes([1.0, 3.0])
  for second in range(1, 26):
    clock[0] += 1
    shown.update(Counters(40 * second, 20 * second, 2 * second))
  lines = out.getvalue().splitlines()
  assert len(lines) == 2
  assert lines[0] == "400/2,000 env steps  return 3.0 (mean 2.0)  2.0 updates/s  40 env steps/s  0:00:40 left"


def test_rates_leave_out_what_came_before_the_run_went_at_its_own_pace(clock: list[float]):
  out = io.StringIO()
  shown = progress.Progress(2000, Counters(), progress.Display(Console(file=out, width=200)))
  for _ in range(9):
    clock[0] += 1
    shown.update(Counters(1000, 500, 0))
  shown.begin(Counters(1000, 500, 0))
  for second in range(1, 12):
    clock[0] += 1
    shown.update(Counters(1000 + 40 * second, 500 + 20 * second, 2 * second))
  assert out.getvalue().splitlines() == ["1,400/2,000 env steps  2.0 updates/s  40 env steps/s  0:00:15 left"]


def test_a_terminal_has_a_bar(clock: list[float]):
  out = io.StringIO()
  with progress.Display(Console(file=out, force_terminal=True, width=200)) as display:
    shown = progress.Progress(2000, Counters(), display)
    clock[0] += 1
    shown.update(Counters(500, 250, 10))
    shown.say("[not markup]")
  assert "25%" in out.getvalue() and "500 env steps/s" in out.getvalue() and "[not markup]" in out.getvalue()


def test_runs_that_share_a_terminal_have_a_bar_each_and_named_lines(clock: list[float]):
  out = io.StringIO()
  with progress.Display(Console(file=out, force_terminal=True, width=200)) as display:
    runs = [progress.Progress(1000, Counters(), display, f"seed {seed}") for seed in (3, 4)]
    clock[0] += 1
    for share, run in enumerate(runs, 1):
      run.update(Counters(100 * share, 100, 10))
    runs[1].say("a line")
  last = out.getvalue().rpartition("seed 4: a line")[2]
  assert "10%" in last and "seed 3: 100/1,000" in last and "20%" in last and "seed 4: 200/1,000" in last


def test_an_interval_is_due_once_for_each_multiple_passed():
  interval = Interval(10, 25)
  assert [interval.due(now) for now in (25, 29, 30, 31, 55, 59, 60)] == [False, False, True, False, True, False, True]
  assert not Interval(0, 0).due(1e9)
