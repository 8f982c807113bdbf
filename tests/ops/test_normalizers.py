import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.ops.normalizers import PercentileScale


def sorted_percentile(x, q):
  """Linear interpolation between order statistics."""
  ordered = np.sort(np.ravel(x))
  position = q / 100 * (len(ordered) - 1)
  below = int(np.floor(position))
  above = min(below + 1, len(ordered) - 1)
  return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def test_averages_start_at_zero_and_are_not_debiased():
  normalizer = PercentileScale(rate=0.1)
  rng = np.random.default_rng(0)
  state, low, high = normalizer.init(), 0.0, 0.0
  for step in range(5):
    x = rng.normal(size=(4, 9)) * 10 ** (step / 2)
    state = normalizer.update(state, jnp.asarray(x))
    low = 0.9 * low + 0.1 * sorted_percentile(x, 5)
    high = 0.9 * high + 0.1 * sorted_percentile(x, 95)
  assert state["low"] == pytest.approx(low, rel=1e-4)
  assert state["high"] == pytest.approx(high, rel=1e-4)
  assert normalizer.scale(state) == pytest.approx(max(1.0, high - low), rel=1e-4)


def test_small_ranges_are_not_blown_up():
  normalizer = PercentileScale()
  state = normalizer.update(normalizer.init(), jnp.linspace(-0.1, 0.1, 100))
  assert normalizer.scale(state) == 1.0


def test_statistics_carry_no_gradient():
  normalizer = PercentileScale(rate=0.5)

  def scaled(x):
    return normalizer.scale(normalizer.update(normalizer.init(), x))

  assert not jax.grad(scaled)(jnp.linspace(-50.0, 50.0, 10)).any()
