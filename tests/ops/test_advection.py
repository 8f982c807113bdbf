"""Moved pixels against loops over places and taps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.ops.advection import advect, joint_flow


def moved_by_hand(image: np.ndarray, kernels: np.ndarray) -> np.ndarray:
  """image [H, W, C], kernels [K, K, H, W]."""
  reach = kernels.shape[0] // 2
  out = np.zeros(image.shape)
  for i, j in np.ndindex(image.shape[:2]):
    for di in range(-reach, reach + 1):
      for dj in range(-reach, reach + 1):
        if 0 <= i + di < image.shape[0] and 0 <= j + dj < image.shape[1]:
          out[i, j] += kernels[di + reach, dj + reach, i, j] * image[i + di, j + dj]
  return out


def test_every_pixel_is_the_sum_that_its_kernel_says():
  rng = np.random.default_rng(0)
  image, flow = rng.normal(size=(2, 5, 6, 3)), rng.normal(size=(2, 25, 5, 6))
  expected = [moved_by_hand(image[n], flow[n].reshape(5, 5, 5, 6)) for n in range(2)]
  np.testing.assert_allclose(jax.jit(advect)(image, flow), expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_single_places():
  """Moving is linear in the image and in the flow: their gradients are the columns of one matrix."""
  rng = np.random.default_rng(2)
  image, flow, by = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 3, 4, 2), (1, 9, 3, 4), (1, 3, 4, 2)))
  by_image, by_flow = jax.vjp(advect, image, flow)[1](jnp.asarray(by))
  for gradient, at, move in (
    (by_image, image, lambda one: moved_by_hand(one[0], flow[0].reshape(3, 3, 3, 4))),
    (by_flow, flow, lambda one: moved_by_hand(image[0], one[0].reshape(3, 3, 3, 4))),
  ):
    expected = [(by[0] * move(one.reshape(at.shape))).sum() for one in np.eye(at.size)]
    np.testing.assert_allclose(np.ravel(gradient), expected, rtol=1e-4, atol=1e-5)


def test_a_joint_flow_mixes_images_that_are_moved_one_by_one():
  rng = np.random.default_rng(1)
  image, kernels = rng.normal(size=(1, 4, 5, 2)), rng.normal(size=(1, 3, 9))
  masks = rng.dirichlet(np.ones(3), (1, 4, 5)).transpose(0, 3, 1, 2)
  expected = np.zeros((4, 5, 2))
  for m in range(3):
    everywhere = np.broadcast_to(kernels[0, m].reshape(3, 3, 1, 1), (3, 3, 4, 5))
    expected += masks[0, m, ..., None] * moved_by_hand(image[0], everywhere)
  found = advect(jnp.asarray(image), joint_flow(jnp.asarray(kernels), jnp.asarray(masks)))
  np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_a_map_moves_by_a_known_kernel():
  """The weight right of the middle brings each pixel from its right: the map moves left."""
  flow = np.zeros((1, 9, 3, 4), np.float32)
  flow[:, 5] = 1
  marked = np.zeros((1, 3, 4, 1), np.float32)
  marked[0, 1, 2] = 1
  found = np.asarray(advect(marked, flow))
  assert found[0, 1, 1] == 1 and found.sum() == 1


def test_flows_of_other_shapes_are_refused():
  with pytest.raises(ValueError, match=r"flow \(1, 8, 3, 4\) must have K² weights for a pixel, K odd"):
    advect(jnp.zeros((1, 3, 4, 1)), jnp.zeros((1, 8, 3, 4)))
