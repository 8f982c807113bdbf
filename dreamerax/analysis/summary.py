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
from dreamerax.analysis.curves import RETURNS, Returns, read_curve, window
from dreamerax.analysis.runs import Setting, by_seed


class Summary(NamedTuple):
  """One setting over the tasks that all settings have, returns divided by 1000."""

  label: str
  tasks: tuple[str, ...]
  seeds: int  # summed over tasks
  returns: Returns
  env_steps: int  # that every seed has reached, where its window ends
  mean: Estimate
  interquartile_mean: Estimate
  optimality_gap: Estimate


class Improvement(NamedTuple):
  """The share of pairs in which a run of `better` beats one of `worse`."""

  better: str
  worse: str
  probability: Estimate


def summarize(settings: Sequence[Setting], returns: Returns) -> tuple[list[Summary], list[Improvement]]:
  """Scores where the shortest seed ends, over tasks of the suite that all settings have; nothing where there are none.

  Tasks whose runs have no return in the window are left out; a seed counts once, however often it was run.
  """
  common = set.intersection(*(set(setting.runs) for setting in settings))
  common = {task for task in common if task.startswith("dmc/")}
  seeds = {(setting.label, task): by_seed(setting.runs[task]) for setting in settings for task in common}
  longest = [max(run.env_steps for run in same) for each in seeds.values() for same in each.values()]
  end = min((steps for steps in longest if steps), default=0)

  def scores(setting: Setting, task: str) -> list[float]:
    """One for each seed: the mean of its runs."""
    found = [
      [each.mean for run in same if (each := window(read_curve(run.rows, RETURNS[returns]), end))]
      for same in seeds[setting.label, task].values()
    ]
    return [float(np.mean(means)) / HIGHEST_RETURN for means in found if means]

  tables = [{task: np.array(scores(setting, task)) for task in sorted(common)} for setting in settings]
  tasks = tuple(task for task in sorted(common) if all(len(table[task]) for table in tables))
  if not tasks:
    return [], []
  samples = [[table[task] for task in tasks] for table in tables]
  statistics = (mean, interquartile_mean, optimality_gap)
  summaries = [
    Summary(
      setting.label, tasks, sum(map(len, sample)), returns, end, *(bootstrap(each, sample) for each in statistics)
    )
    for setting, sample in zip(settings, samples, strict=True)
  ]
  pairs = [(i, j) for i in range(len(settings)) for j in range(len(settings)) if i < j]
  improvements = [
    Improvement(settings[i].label, settings[j].label, bootstrap(probability_of_improvement, samples[i], samples[j]))
    for i, j in pairs
  ]
  return summaries, improvements
