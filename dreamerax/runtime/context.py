"""Defines what a process gives to its runs, and what they share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.learn.compilation import Program, Source
from dreamerax.runtime.learn.compile_times import Compiler
from dreamerax.runtime.telemetry.progress import Display


@dataclass(frozen=True)
class RunContext:
  """Signals, display and compiler of a process, which its runs share."""

  name: str  # begins the run's lines; "" where it is alone
  stop: StopSignals
  display: Display
  compile_update: Callable[[Source], Program]
  compiling: Callable[[], str]  # what the compiler does


@contextmanager
def single_run(*, quiet: bool = False) -> Iterator[RunContext]:
  """The context of the only run of a process.

  Args:
    quiet: show nothing, where another process shows the run.
  """
  with StopSignals(run=True) as stop, Display(quiet=quiet) as display:
    compiler = Compiler(display.say)
    yield RunContext("", stop, display, compiler.compile, lambda: compiler.status)
