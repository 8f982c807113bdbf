"""The result of a run."""

from typing import NamedTuple

from dreamerax.runtime.collect.evaluate import EvalResult
from dreamerax.runtime.counters import Counters


class TrainResult(NamedTuple):
  """The end of a run."""

  counters: Counters
  seconds: float  # since the run began, over restarts
  evaluation: EvalResult | None  # the last one; None if interrupted, without evaluations, or with nothing left to do
  interrupted: bool  # by Ctrl-C or SIGTERM; saved
