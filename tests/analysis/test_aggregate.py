"""Aggregates equal rliable's: the numbers were computed with rliable 1.2.0, pandas 2, on these scores."""

import numpy as np
import pytest

from dreamerax.analysis.aggregate import (
  bootstrap,
  interquartile_mean,
  mean,
  mean_interval,
  optimality_gap,
  probability_of_improvement,
)

OURS = np.array(  # [runs, tasks]
  [[0.71, 0.416, 0.233], [0.213, 0.851, 0.93], [0.685, 0.784, 0.635], [0.948, 0.853, 0.202], [0.886, 0.227, 0.784]]
)
THEIRS = np.array([[0.241, 0.791, 0.533], [0.34, 0.438, 0.123], [0.199, 0.636, 0.618], [0.592, 0.407, 0.898]])


@pytest.mark.parametrize(
  ("statistic", "ours", "theirs"),
  [(interquartile_mean, 0.6612222, 0.488), (optimality_gap, 0.3762, 0.5153333), (mean, 0.6238, 0.4846667)],
)
def test_aggregates_of_tasks(statistic, ours: float, theirs: float):
  assert statistic(OURS.T) == pytest.approx(ours, abs=1e-6)
  assert statistic(THEIRS.T) == pytest.approx(theirs, abs=1e-6)


def test_probability_of_improvement():
  assert probability_of_improvement(OURS.T, THEIRS.T) == pytest.approx(0.6833333, abs=1e-6)
  same = [np.array([0.5, 0.5])]
  assert probability_of_improvement(same, same) == 0.5  # ties


def test_intervals_of_the_stratified_bootstrap():
  """rliable's, from 50,000 and 20,000 resamples."""
  found = bootstrap(interquartile_mean, OURS.T, resamples=3000)
  assert found.value == pytest.approx(0.6612222, abs=1e-6)
  assert (found.low, found.high) == pytest.approx((0.4483, 0.8179), abs=0.012)
  found = bootstrap(optimality_gap, OURS.T, resamples=3000)
  assert (found.low, found.high) == pytest.approx((0.2447, 0.5141), abs=0.012)
  found = bootstrap(probability_of_improvement, OURS.T, THEIRS.T, resamples=3000)
  assert (found.low, found.high) == pytest.approx((0.4667, 0.8833), abs=0.02)


def test_scores_beyond_the_best_close_no_gap():
  assert optimality_gap([np.array([0.5, 2.0])]) == pytest.approx(0.25)


def test_the_interval_of_a_mean_curve_holds_it_and_narrows_with_seeds():
  rng = np.random.default_rng(0)
  few, many = rng.normal(5, 1, (4, 30)), rng.normal(5, 1, (64, 30))
  widths = []
  for returns in (few, many):
    low, high = mean_interval(returns)
    assert (low <= returns.mean(0)).all() and (returns.mean(0) <= high).all()
    widths.append((high - low).mean())
  assert widths[1] < widths[0] / 2.5
  low, high = mean_interval(few[:1])
  np.testing.assert_array_equal(low, high)
