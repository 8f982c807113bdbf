"""Trains several runs in one process: a thread for each, and one vmapped update for all."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from dreamerax.envs.faults import EnvironmentFault
from dreamerax.runtime.context import single_run
from dreamerax.runtime.errors import Diverged, NotSaved
from dreamerax.runtime.learn.seed_group import SeedGroup
from dreamerax.runtime.result import TrainResult


def train_runs(runs: Mapping[str, Callable[..., TrainResult]]) -> dict[str, TrainResult]:
  """Trains independent runs, whose updates are one function of the same shapes; each is what it would be alone, to rounding.

  The runs wait for each other at every update. One that ends, or whose numbers are no longer finite, leaves the others to go
  on; Ctrl-C and SIGTERM save all. Call it in the main thread.

  Args:
    runs: `train_run` but for its `context`, by the names that begin their lines.

  Raises:
    Diverged, EnvironmentFault, NotSaved: of one run or several, once the others are over.
    Exception: what else a run raises; the others have saved and left.
  """
  with single_run() as shared, ThreadPoolExecutor(len(runs), "seed") as threads:
    group = SeedGroup(len(runs), shared.compile_update)

    def train(index: int, name: str, run: Callable[..., TrainResult]) -> TrainResult:
      try:
        return run(context=replace(shared, name=name, compile_update=partial(group.compile, index)))
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
