"""Final scores over tasks: IQM, optimality gap, and how probably one setting is better than another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamerax.analysis.aggregate import (
  HIGHEST_RETURN,
  Estimate,
  bootstrap,
  interquartile_mean,
  mean,
  optimality_gap,
  probability_of_improvement,
)
from dreamerax.analysis.curves import Returns, read_curve, window
from dreamerax.analysis.runs import Setting


class Summary(NamedTuple):
  """One setting over the tasks that all settings have, returns divided by 1000."""

  label: str
  tasks: tuple[str, ...]
  runs: int
  env_steps: int  # that every run has reached, where its window ends
  mean: Estimate
  interquartile_mean: Estimate
  optimality_gap: Estimate


class Improvement(NamedTuple):
  """How often a run of `better` beats one of `worse`."""

  better: str
  worse: str
  probability: Estimate


def summarize(settings: Sequence[Setting], returns: Returns) -> tuple[list[Summary], list[Improvement]]:
  """Scores where the shortest run ends, over tasks of the suite that all settings have; nothing where there are none.

  Tasks whose runs have no return in the window are left out.
  """
  common = set.intersection(*(set(setting.runs) for setting in settings))
  common = {task for task in common if task.startswith("dmc/")}
  runs = [run for setting in settings for task in common for run in setting.runs[task]]
  end = min((run.env_steps for run in runs), default=0)

  def scores(setting: Setting, task: str) -> list[float]:
    found = [window(read_curve(run.rows, returns), end) for run in setting.runs[task]]
    return [each.mean / HIGHEST_RETURN for each in found if each]

  tables = [{task: np.array(scores(setting, task)) for task in sorted(common)} for setting in settings]
  tasks = tuple(task for task in sorted(common) if all(len(table[task]) for table in tables))
  if not tasks:
    return [], []
  samples = [[table[task] for task in tasks] for table in tables]
  statistics = (mean, interquartile_mean, optimality_gap)
  summaries = [
    Summary(setting.label, tasks, sum(map(len, sample)), end, *(bootstrap(each, sample) for each in statistics))
    for setting, sample in zip(settings, samples, strict=True)
  ]
  pairs = [(i, j) for i in range(len(settings)) for j in range(len(settings)) if i < j]
  improvements = [
    Improvement(settings[i].label, settings[j].label, bootstrap(probability_of_improvement, samples[i], samples[j]))
    for i, j in pairs
  ]
  return summaries, improvements
