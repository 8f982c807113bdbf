"""Scores over tasks and seeds as one number with its uncertainty (Agarwal et al. 2021, "Deep RL at the edge of the
statistical precipice"). Scores are normalised, here returns over 1000, the most an episode of the suite can give.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Tasks = Sequence[np.ndarray]  # for each task its runs' normalised scores [n]; n may differ
HIGHEST_RETURN = 1000.0
RESAMPLES = 2000
CONFIDENCE = 0.95


class Estimate(NamedTuple):
  """A statistic, and the percentile interval of its stratified bootstrap."""

  value: float
  low: float
  high: float


def interquartile_mean(tasks: Tasks) -> float:
  """The mean of all runs' scores without the lowest and the highest quarter of them."""
  scores = np.sort(np.concatenate(tasks))
  cut = int(0.25 * len(scores))
  return float(scores[cut : len(scores) - cut].mean())


def optimality_gap(tasks: Tasks) -> float:
  """By how much the runs fall short of 1, on average; what exceeds it makes up for nothing."""
  return float(1 - np.minimum(np.concatenate(tasks), 1).mean())


def mean(tasks: Tasks) -> float:
  """Over all runs."""
  return float(np.concatenate(tasks).mean())


def probability_of_improvement(ours: Tasks, theirs: Tasks) -> float:
  """Computes how often a run of ours beats one of theirs on the same task, ties by
  half; the mean over tasks."""
  shares = []
  for a, b in zip(ours, theirs, strict=True):
    shares.append(((a[:, None] > b).mean() + (a[:, None] >= b).mean()) / 2)
  return float(np.mean(shares))


def bootstrap(statistic: Callable[..., float], *samples: Tasks, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
  """`statistic(*samples)` with its interval: each task's runs are drawn anew, with replacement, from that task's runs."""
  rng = np.random.default_rng(seed)
  drawn = [statistic(*([rng.choice(runs, len(runs)) for runs in tasks] for tasks in samples)) for _ in range(resamples)]
  tail = 50 * (1 - CONFIDENCE)
  low, high = np.percentile(drawn, [tail, 100 - tail])
  return Estimate(statistic(*samples), float(low), float(high))


def mean_interval(returns: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Interval of the mean over seeds, at each place of curves: [seeds, P] -> low [P], high [P]."""
  count = len(returns)
  rows = np.random.default_rng(seed).integers(count, size=(resamples, count))
  tail = 50 * (1 - CONFIDENCE)
  low, high = np.percentile(returns[rows].mean(1), [tail, 100 - tail], axis=0)
  return low, high
