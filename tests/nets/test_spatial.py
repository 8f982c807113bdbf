"""Feature points: the places of bright pixels, and an encoder of them against plain loops."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.modules import params_of, with_params
from dreamerax.nets.spatial import SpatialSoftmaxEncoder
from dreamerax.ops.spatial import expected_positions
from dreamerax.types import ArraySpec
from tests import plain

IMAGE, VECTOR = ArraySpec((18, 21, 1), "uint8"), ArraySpec((3,))


def test_a_hot_pixel_gives_its_coordinates_and_a_shift_moves_them_by_one():
  activations = np.zeros((1, 5, 9, 2), np.float32)
  activations[0, 1, 2, 0] = activations[0, 1, 3, 1] = 1000
  points = expected_positions(jnp.asarray(activations), 1.0)[0]
  np.testing.assert_allclose(points, [[2 * 2 / 8 - 1, 2 * 1 / 4 - 1], [2 * 3 / 8 - 1, 2 * 1 / 4 - 1]], atol=1e-6)


def test_positions_are_means_under_a_softmax_over_pixels_channel_by_channel():
  rng = np.random.default_rng(0)
  activations = rng.normal(size=(3, 4, 5, 2)).astype(np.float32)
  for temperature in (0.5, 2.0):
    points = expected_positions(jnp.asarray(activations), temperature)
    for n in range(3):
      for c in range(2):
        weights = np.exp(activations[n, :, :, c] / temperature)
        weights /= weights.sum()
        x = sum(weights[i, j] * (j / 4 * 2 - 1) for i in range(4) for j in range(5))
        y = sum(weights[i, j] * (i / 3 * 2 - 1) for i in range(4) for j in range(5))
        np.testing.assert_allclose(points[n, c], [x, y], atol=1e-5)


def test_a_low_temperature_finds_the_largest():
  activations = np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype(np.float32)
  points = expected_positions(jnp.asarray(activations), 1e-3)
  where = activations.reshape(2, 36, 3).argmax(1)
  np.testing.assert_allclose(points, np.stack([where % 6, where // 6], -1) / 5 * 2 - 1, atol=1e-3)


def test_half_precision_activations_give_exact_positions():
  activations = jnp.zeros((1, 3, 101, 1), jnp.bfloat16).at[0, 1, 77, 0].set(300)
  np.testing.assert_allclose(expected_positions(activations, 1.0)[0, 0], [0.54, 0.0], atol=1e-6)


def convolve(x, kernel, bias, stride):
  """[H, W, I] -> [H', W', O] without padding."""
  side = len(kernel)
  rows, columns = ((n - side) // stride + 1 for n in x.shape[:2])
  out = np.zeros((rows, columns, kernel.shape[-1]))
  for i in range(rows):
    for j in range(columns):
      patch = x[i * stride : i * stride + side, j * stride : j * stride + side]
      out[i, j] = (patch[..., None] * kernel).sum((0, 1, 2)) + bias
  return out


def test_the_encoder_is_convolutions_and_positions():
  config = SpatialSoftmaxEncoder(depths=(3, 2), vector_layers=1, vector_units=4)
  spec = {"image": IMAGE, "vector": VECTOR}
  module, params = plain.randomised(lambda: config.build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (2, *IMAGE.shape), np.uint8)
  got = plain.call(module, type(module).__call__, {"image": image, "vector": np.ones((2, 3), np.float32)})
  assert got.shape == (2, module.output_size) == (2, 4 + 4)
  first, second, points = (params["stages"][f"stage{i}"] for i in range(3))
  for n in range(2):
    x = plain.relu(convolve(image[n] / 255 - 0.5, first["kernel"], first["bias"], 2))
    x = convolve(x, second["kernel"], second["bias"], 1)
    expected = expected_positions(jnp.float32(x[None]), float(np.exp(points["log_temperature"])))
    np.testing.assert_allclose(got[n, -4:], expected.reshape(-1), atol=1e-4)


@pytest.mark.parametrize(("padding", "black"), [("grey", -0.5), ("black", 0.0)])
def test_padded_convolutions_cover_the_whole_image(padding: Literal["grey", "black"], black: float):
  config = SpatialSoftmaxEncoder(depths=(3, 2), padding=padding)
  module, params = plain.randomised(lambda: config.build({"image": IMAGE}, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  image = np.random.default_rng(0).integers(0, 256, (2, *IMAGE.shape), np.uint8)
  got = plain.call(module, type(module).__call__, {"image": image})
  first, second, points = list(params["stages"].values())[-3:]
  for n in range(2):
    x = np.pad(image[n] / 255 + black, ((3, 3), (3, 3), (0, 0)))
    x = plain.relu(convolve(x, first["kernel"], first["bias"], 2))
    assert x.shape == (9, 11, 3)  # half of 18 and 21, rounded up
    x = convolve(np.pad(x, ((2, 2), (2, 2), (0, 0))), second["kernel"], second["bias"], 1)
    expected = expected_positions(jnp.float32(x[None]), float(np.exp(points["log_temperature"])))
    np.testing.assert_allclose(got[n], expected.reshape(-1), atol=1e-4)


def test_images_too_small_for_convolutions_without_padding_fit_padded_ones():
  spec = {"image": ArraySpec((8, 8, 3), "uint8")}
  module = SpatialSoftmaxEncoder(padding="grey").build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0))
  assert module.output_size == 32


def test_the_first_convolution_and_the_temperature_get_a_gradient():
  module = SpatialSoftmaxEncoder(depths=(3, 2)).build({"image": IMAGE}, dtype=jnp.float32, rngs=nnx.Rngs(0))
  image = np.random.default_rng(0).integers(0, 256, (2, *IMAGE.shape), np.uint8)
  loss = jax.jit(jax.grad(lambda params: jnp.square(with_params(module, params)({"image": image})).sum()))
  gradient = loss(params_of(module))
  assert np.abs(gradient["stages"]["stage0"]["kernel"]).max() > 0
  assert np.abs(gradient["stages"]["stage2"]["log_temperature"]) > 0


def test_images_that_are_too_small_are_refused_and_no_channels_too():
  with pytest.raises(ValueError, match=r"image size 16x40: 3 convolutions without padding need 25 pixels a side"):
    SpatialSoftmaxEncoder().build({"image": ArraySpec((16, 40, 3), "uint8")}, dtype=jnp.float32, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=r"depths=\(\) must be one positive number or more"):
    SpatialSoftmaxEncoder(depths=())
