"""Structural similarity against a loop over the places of its window."""

import numpy as np
import pytest

from dreamerax.offline.ssim import ssim


def by_hand(one: np.ndarray, other: np.ndarray, side: int) -> float:
  """Of one channel [H, W]."""
  line = np.exp(-np.square(np.arange(side) - side // 2) / (2 * 1.5**2))
  weights = np.outer(line, line) / line.sum() ** 2
  values = []
  for i in range(one.shape[0] - side + 1):
    for j in range(one.shape[1] - side + 1):
      x, y = (image[i : i + side, j : j + side].astype(np.float64) for image in (one, other))
      mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
      var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
      covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
      values.append(
        (2 * mean_x * mean_y + 1e-4)
        * (2 * covariance + 9e-4)
        / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
      )
  return float(np.mean(values))


@pytest.mark.parametrize(("height", "width", "side"), [(14, 13, 11), (8, 8, 7)])
def test_it_equals_a_loop_over_windows(height: int, width: int, side: int):
  rng = np.random.default_rng(0)
  shape = (2, height, width, 3)
  one = rng.uniform(size=shape)
  other = np.clip(one + 0.2 * rng.normal(size=shape), 0, 1)
  expected = [np.mean([by_hand(one[n, ..., c], other[n, ..., c], side) for c in range(3)]) for n in range(2)]
  np.testing.assert_allclose(ssim(one, other), expected, rtol=1e-4)
  np.testing.assert_allclose(ssim(one, one), 1, rtol=1e-5)
  assert ssim(one[0], other).shape == (2,) and ssim(one[0], other)[0] == pytest.approx(ssim(one, other)[0], rel=1e-5)
