"""Tests the random shift of images against indices taken one by one."""

import jax
import numpy as np

from dreamerax.ops.augmentation import random_shift

IMAGES = {"front": (8, 6, 3), "side": (5, 5, 1)}


def _images(size: int) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  return {name: rng.integers(256, size=(size, 3, *shape), dtype=np.uint8) for name, shape in IMAGES.items()}


def _moved(sequence: np.ndarray, down: int, across: int) -> np.ndarray:
  """[T, H, W, C] of which each pixel is the one `down` and `across` from it, or the nearest that there is."""
  rows = np.clip(np.arange(sequence.shape[1]) + down, 0, sequence.shape[1] - 1)
  columns = np.clip(np.arange(sequence.shape[2]) + across, 0, sequence.shape[2] - 1)
  return sequence[:, rows][:, :, columns]


def test_each_sequence_moves_as_one_and_its_cameras_with_it():
  images, most = _images(40), 2
  moved = jax.device_get(random_shift(images, most, jax.random.key(0)))
  found = []
  for row in range(40):
    shifts = [
      (down, across)
      for down in range(-most, most + 1)
      for across in range(-most, most + 1)
      if all(np.array_equal(moved[name][row], _moved(images[name][row], down, across)) for name in IMAGES)
    ]
    assert len(shifts) == 1
    found += shifts
  assert {down for down, _ in found} == {across for _, across in found} == set(range(-most, most + 1))
  assert all(moved[name].dtype == np.uint8 for name in IMAGES)


def test_a_shift_may_be_wider_than_the_image():
  images = _images(2)
  moved = random_shift(images, 20, jax.random.key(1))
  assert all(moved[name].shape == images[name].shape for name in IMAGES)
