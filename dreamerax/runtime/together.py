"""Several runs in one process: a thread for each, and one vmapped update for all."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from dreamerax.envs.faults import EnvironmentFault
from dreamerax.runtime.compilation import Program, Source
from dreamerax.runtime.compile_times import Compiler
from dreamerax.runtime.errors import Diverged, NotSaved
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.progress import Display
from dreamerax.runtime.run import TrainResult
from dreamerax.runtime.seed_group import SeedGroup


@dataclass(frozen=True)
class Company:
  """What a run shares with the others of its process."""

  name: str  # begins its lines; "" where it is alone
  stop: StopSignals
  display: Display
  compile_update: Callable[[Source], Program]
  compiling: Callable[[], str]  # what the compiler does


@contextmanager
def alone(*, quiet: bool = False) -> Iterator[Company]:
  """For a run that has the process to itself, and shows nothing where another process does."""
  with StopSignals(run=True) as stop, Display(quiet=quiet) as display:
    compiler = Compiler(display.say)
    yield Company("", stop, display, compiler.compile, lambda: compiler.status)


def train_together(runs: Mapping[str, Callable[..., TrainResult]]) -> dict[str, TrainResult]:
  """Trains independent runs, whose updates are one function of the same shapes; each is what it would be alone, to rounding.

  The runs wait for each other at every update. One that ends, or whose numbers are no longer finite, leaves the others to go
  on; Ctrl-C and SIGTERM save all. Call it in the main thread.

  Args:
    runs: `loop.train` but for its `company`, by the names that begin their lines.

  Raises:
    Diverged, EnvironmentFault, NotSaved: of one run or several, once the others are over.
    Exception: what else a run raises; the others have saved and left.
  """
  with alone() as shared, ThreadPoolExecutor(len(runs), "seed") as threads:
    group = SeedGroup(len(runs), shared.compile_update)

    def train(index: int, name: str, run: Callable[..., TrainResult]) -> TrainResult:
      try:
        return run(company=replace(shared, name=name, compile_update=partial(group.compile, index)))
      except (Diverged, EnvironmentFault, NotSaved):
        raise
      except BaseException:
        shared.stop.requested = True
        raise
      finally:
        group.leave(index)

    started = {name: threads.submit(train, index, name, run) for index, (name, run) in enumerate(runs.items())}
    failed = {name: error for name, future in started.items() if (error := future.exception())}
  for error in failed.values():
    if not isinstance(error, (Diverged, EnvironmentFault, NotSaved)):
      raise error
  for error in failed.values():
    raise type(error)("; ".join(f"{name}: {each}" for name, each in failed.items())) from error
  return {name: future.result() for name, future in started.items()}
