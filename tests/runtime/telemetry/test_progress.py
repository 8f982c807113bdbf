"""The display: a bar on a terminal, lines elsewhere."""

import io

import pytest
from rich.console import Console

from dreamerax.runtime.counters import Counters
from dreamerax.runtime.telemetry import progress
from dreamerax.runtime.telemetry.timing import Interval


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
  now = [100.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  return now


def plain() -> tuple[io.StringIO, progress.Display]:
  out = io.StringIO()
  return out, progress.Display(Console(file=out, width=200))


def test_a_plain_line_every_ten_seconds_tells_rates_and_the_time_left(clock: list[float]):
  out, display = plain()
  shown = progress.Progress(2000, Counters(), display)
  shown.episodes([1.0, 3.0])
  shown.begin(Counters())
  for second in range(26):
    shown.update(Counters(40 * second, 20 * second, 2 * second))
    clock[0] += 1
  lines = out.getvalue().splitlines()
  assert len(lines) == 2
  assert lines[0] == "0:00:40 left  400/2,000 env steps  return 3.0  (mean of 2: 2.0)  2.0 updates/s  40 env steps/s"


def test_no_time_is_told_before_training_has_a_pace(clock: list[float]):
  out, display = plain()
  shown = progress.Progress(2000, Counters(), display)
  shown.wait_for(lambda: "prefill: 500/500 agent steps")
  for _ in range(12):
    shown.update(Counters(1000, 500, 0))
    clock[0] += 1
  shown.wait_for(lambda: "compiling the update, 9 s")
  for _ in range(12):
    shown.tick()
    clock[0] += 1
  shown.begin(Counters(1000, 500, 0))
  shown.update(Counters(1010, 505, 0))  # the policy compiles for seconds
  clock[0] += 7
  for second in range(12):
    shown.update(Counters(1020 + 40 * second, 510 + 20 * second, 1 + 2 * second))
    clock[0] += 1
  assert out.getvalue().splitlines() == [
    "prefill: 500/500 agent steps  1,000/2,000 env steps",
    "compiling the update, 9 s  1,000/2,000 env steps",
    "1,020/2,000 env steps",
    "0:00:14 left  1,420/2,000 env steps  2.0 updates/s  40 env steps/s",
  ]


def test_evaluations_are_no_part_of_the_pace_and_a_part_of_the_time_left(clock: list[float]):
  out, display = plain()
  shown = progress.Progress(2000, Counters(), display, eval_every=500)
  shown.begin(Counters())
  for second in range(11):
    shown.update(Counters(50 * second, 25 * second, 1 + second))
    clock[0] += 1
  with shown.evaluating("5 episodes"):
    clock[0] += 60
    shown.tick()
  shown.update(Counters(550, 275, 12))
  clock[0] += 11
  shown.update(Counters(600, 300, 13))
  lines = out.getvalue().splitlines()
  assert lines[1] == "evaluating, 5 episodes: 60 s  500/2,000 env steps"
  assert lines[2].startswith("0:03:51 left")  # 1,400 steps at 27.3 a second, and three evaluations of a minute


def test_a_run_without_environments_counts_updates_and_tells_its_loss(clock: list[float]):
  out, display = plain()
  shown = progress.Progress(2000, Counters(), display, unit="updates")
  shown.begin(Counters())
  shown.loss(12.345)
  for second in range(12):
    shown.update(Counters(20 * second, 0, 20 * second))
    clock[0] += 1
  assert out.getvalue() == "0:01:30 left  200/2,000 updates  loss 12.35  20.0 updates/s\n"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_bar_per_cent_and_time_left_fit_the_terminal(clock: list[float], width: int):
  out = io.StringIO()
  with progress.Display(Console(file=out, force_terminal=True, width=width, legacy_windows=False)) as display:
    shown = progress.Progress(1_000_000, Counters(), display)
    shown.episodes([876.5])
    shown.begin(Counters())
    for second in range(10):
      shown.update(Counters(45_000 * second, 500, 1 + 10 * second))
      clock[0] += 1
    drawn = Console(width=width, color_system=None)
    with drawn.capture() as captured:
      drawn.print(shown.bar(width))
    shown.say("[not markup]")
  (line,) = captured.get().splitlines()
  assert len(line) <= width and "…" not in line
  assert "━━━" in line and " 40% " in line and "0:00:13 left" in line
  assert ("return 876.5" in line) == (width >= 80) and ("updates/s" in line) == (width >= 200)
  assert "[not markup]" in out.getvalue()


def test_runs_that_share_a_terminal_have_a_bar_each_and_named_lines(clock: list[float]):
  out = io.StringIO()
  with progress.Display(Console(file=out, force_terminal=True, width=80)) as display:
    runs = [progress.Progress(1000, Counters(), display, f"seed {seed}") for seed in (3, 4)]
    for share, run in enumerate(runs, 1):
      run.begin(Counters(100 * share, 100, 10))
    runs[1].say("a line")
  last = out.getvalue().rpartition("seed 4: a line")[2]
  assert "10%" in last and "seed 3: 100/1,000" in last and "20%" in last and "seed 4: 200/1,000" in last


def test_an_interval_is_due_once_for_each_multiple_passed():
  interval = Interval(10, 25)
  assert [interval.due(now) for now in (25, 29, 30, 31, 55, 59, 60)] == [False, False, True, False, True, False, True]
  assert not Interval(0, 0).due(1e9)
