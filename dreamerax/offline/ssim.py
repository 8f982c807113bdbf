"""Structural similarity of images."""

import numpy as np

from dreamerax.types import Array

_SIDE, _DEVIATION = 11, 1.5  # of the Gaussian window, in pixels
_C1, _C2 = 0.01**2, 0.03**2


def ssim(one: Array, other: Array) -> np.ndarray:
  """Structural similarity (Wang et al. 2004) of images [..., H, W, C] in [0, 1], with the published figures: [...].

  1 where they are equal. The mean over the places of a Gaussian window of 11 pixels a side, within the image, and over
  channels; the leading axes broadcast. Images with a smaller side get a window of the largest odd side that fits.
  """
  rows, columns = (_window(size) for size in one.shape[-3:-1])

  def mean(x: np.ndarray) -> np.ndarray:
    """Over the windows: [..., H, W, C] -> [..., C, H', W']."""
    return rows @ np.moveaxis(x, -1, -3) @ columns.T

  one, other = one.astype(np.float32), other.astype(np.float32)
  mean_one, mean_other = mean(one), mean(other)
  variance_one = mean(one * one) - mean_one**2
  variance_other = mean(other * other) - mean_other**2
  covariance = mean(one * other) - mean_one * mean_other
  likeness = (2 * mean_one * mean_other + _C1) * (2 * covariance + _C2)
  size = (mean_one**2 + mean_other**2 + _C1) * (variance_one + variance_other + _C2)
  return (likeness / size).mean((-3, -2, -1))


def _window(size: int) -> np.ndarray:
  """[size - side + 1, size]: the weights of each place of the window along an axis."""
  side = min(_SIDE, size - (size + 1) % 2)
  weights = np.exp(-np.square(np.arange(side) - (side - 1) / 2) / (2 * _DEVIATION**2))
  matrix = np.zeros((size - side + 1, size), np.float32)
  for place in range(len(matrix)):
    matrix[place, place : place + side] = weights / weights.sum()
  return matrix
