"""The decoder of PlaNet, Dreamer v1 and v2 against NumPy, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.decoders import StridedDecoder
from dreamerax.types import ArraySpec
from tests import plain

IMAGE, MASK, POSITION = ArraySpec((64, 64, 3), "uint8"), ArraySpec((64, 64, 1), "uint8"), ArraySpec((2, 2))
DETER, STOCH = 4, 3


def make(config, spec):
  return config.build(spec, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_decodes_stacked_images_and_vectors_as_numpy_does(activation):
  config = StridedDecoder(depth=1, activation=activation, layers=2, units=5)
  decoder, params = plain.randomised(lambda: make(config, {"image": IMAGE, "mask": MASK, "position": POSITION}))
  rng = np.random.default_rng(0)
  deter, stoch = (rng.normal(size=(2, 3, size)).astype(np.float32) for size in (DETER, STOCH))
  got = plain.call(decoder, type(decoder).__call__, deter, stoch)

  act = getattr(plain, activation)
  features = np.concatenate([deter, stoch], -1).reshape(6, -1)
  x = plain.linear(params["dense"], features).reshape(6, 1, 1, 32)
  sides = [1]
  for i in range(4):
    x = plain.conv_transposed(params["convs"][f"conv{i}"], x if i == 0 else act(x))
    sides.append(x.shape[1])
  assert sides == [1, 5, 13, 30, 64]
  image = x.reshape(2, 3, 64, 64, 4) + 0.5
  position = plain.linear(params["heads"]["position"], plain.plain_mlp(params["mlp"], features, act))
  for key, expected in {
    "image": image[..., :3],
    "mask": image[..., 3:],
    "position": position.reshape(2, 3, 2, 2),
  }.items():
    assert got[key].dtype == jnp.float32
    np.testing.assert_allclose(got[key], expected, rtol=1e-3, atol=1e-3)
  assert got["image"].min() < 0 < 1 < got["image"].max()  # nothing is clipped


def test_widths_are_the_published_ones_and_kernels_glorot_uniform():
  decoder = make(StridedDecoder(depth=8), {"image": IMAGE})
  assert decoder.dense.kernel.shape == (DETER + STOCH, 256)
  shapes = [conv.kernel.shape for conv in decoder.convs.values()]
  assert shapes == [(5, 5, 256, 32), (5, 5, 32, 16), (6, 6, 16, 8), (6, 6, 8, 3)]
  kernel = np.asarray(decoder.convs["conv0"].kernel[...])
  bound = np.sqrt(6 / (25 * (256 + 32)))
  assert 0.99 * bound < np.abs(kernel).max() <= bound
  assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


@pytest.mark.parametrize(
  ("size", "grid", "rows", "columns"),
  [
    ((84, 84), (3, 3, 4), slice(6, 90), slice(6, 90)),  # of 96x96
    ((64, 97), (1, 4, 8), slice(0, 64), slice(7, 104)),  # of 64x112
    ((128, 40), (5, 1, 7), slice(0, 128), slice(12, 52)),  # of 128x64
  ],
)
def test_of_other_sizes_the_middle_of_what_is_painted_is_kept(size, grid, rows, columns):
  spec = {"image": ArraySpec((*size, 2), "uint8")}
  decoder, params = plain.randomised(lambda: make(StridedDecoder(depth=1, activation="elu"), spec))
  rng = np.random.default_rng(0)
  deter, stoch = (rng.normal(size=(2, width)).astype(np.float32) for width in (DETER, STOCH))
  got = plain.call(decoder, type(decoder).__call__, deter, stoch)["image"]

  x = plain.linear(params["dense"], np.concatenate([deter, stoch], -1)).reshape(2, *grid)
  for i in range(4):
    x = plain.conv_transposed(params["convs"][f"conv{i}"], x if i == 0 else plain.elu(x))
  assert got.shape == (2, *size, 2)
  np.testing.assert_allclose(got, x[:, rows, columns] + 0.5, rtol=1e-3, atol=1e-3)


def test_at_64_pixels_nothing_is_cut_off_and_not_a_bit_differs():
  decoder, _ = plain.randomised(lambda: make(StridedDecoder(depth=2), {"image": IMAGE}))
  rng = np.random.default_rng(0)
  deter, stoch = (rng.normal(size=(2, size)).astype(np.float32) for size in (DETER, STOCH))

  def bare(decoder, deter, stoch):
    x = decoder.dense(jnp.concatenate([deter, stoch], -1)).reshape(2, 1, 1, 64)
    *inner, last = decoder.convs.values()
    for conv in inner:
      x = nnx.relu(conv(x))
    return last(x) + 0.5

  got = plain.call(decoder, type(decoder).__call__, deter, stoch)["image"]
  np.testing.assert_array_equal(got, plain.call(decoder, bare, deter, stoch))


@pytest.mark.parametrize(
  ("side", "outputs"), [(16, 1024), (64, 1024), (84, 9 * 114), (96, 9 * 114), (128, 25 * 41), (256, 169 * 32)]
)
def test_the_linear_layer_hardly_grows_up_to_128_pixels(side, outputs):
  decoder = nnx.eval_shape(lambda: make(StridedDecoder(depth=32), {"image": ArraySpec((side, side, 3), "uint8")}))
  assert decoder.dense.kernel.shape == (DETER + STOCH, outputs)


def test_smaller_images_are_refused():
  with pytest.raises(ValueError, match="image size 15x64: the strided decoder needs 16 pixels a side"):
    make(StridedDecoder(), {"image": ArraySpec((15, 64, 3), "uint8")})
