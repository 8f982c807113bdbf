"""Images of any size: every encoder and decoder in shape, and how images fit the networks' own sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.decoders import ConvDecoder, StridedDecoder
from dreamerax.nets.encoders import ConvEncoder, StridedEncoder
from dreamerax.nets.modules import params_of, with_params
from dreamerax.nets.observations import center_crop, center_pad
from dreamerax.types import ArraySpec

DETER, STOCH = 8, 5
ENCODERS = {"conv": ConvEncoder(depth=1), "strided": StridedEncoder(depth=1, activation="elu")}
DECODERS = {"conv": ConvDecoder(depth=2, units=6), "strided": StridedDecoder(depth=2, activation="elu")}


def image_of(*size: int) -> dict[str, ArraySpec]:
  return {"image": ArraySpec((*size, 3), "uint8")}


def test_the_middle_of_a_picture_by_hand():
  x = jnp.arange(20).reshape(1, 4, 5, 1)
  assert center_crop(x, 2, 2)[0, :, :, 0].tolist() == [[6, 7], [11, 12]]
  assert center_crop(x, 1, 5)[0, :, :, 0].tolist() == [[5, 6, 7, 8, 9]]
  assert center_pad(x[:, :1, :2], 2, 5)[0, :, :, 0].tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("size", [(4, 5), (5, 5), (6, 7), (9, 8)])
def test_an_image_is_found_again_where_it_was_padded(size):
  x = jax.random.normal(jax.random.key(0), (2, 4, 5, 3))
  padded = center_pad(x, *size)
  assert padded.shape == (2, *size, 3)
  np.testing.assert_array_equal(center_crop(padded, 4, 5), x)


@pytest.mark.parametrize(
  ("size", "conv", "strided"),
  [
    ((64, 64), (4, 4), (2, 2)),
    ((84, 84), (6, 6), (3, 3)),  # strided: 84 -> 41 -> 19 -> 8 -> 3
    ((96, 96), (6, 6), (4, 4)),
    ((128, 128), (8, 8), (6, 6)),
    ((84, 101), (6, 7), (3, 4)),
    ((256, 46), (16, 3), (14, 1)),
  ],
)
def test_every_network_takes_the_size(size, conv, strided):
  spec = image_of(*size)
  for name, pixels, channels in (("conv", conv, 4), ("strided", strided, 8)):
    encoder = nnx.eval_shape(lambda name=name: ENCODERS[name].build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)))
    image = {"image": jax.ShapeDtypeStruct((2, 3, *size, 3), jnp.uint8)}
    embed = jax.eval_shape(lambda params, x, module=encoder: with_params(module, params)(x), params_of(encoder), image)
    assert embed.shape == (2, 3, pixels[0] * pixels[1] * channels) == (2, 3, encoder.output_size)
  for config in DECODERS.values():
    decoder = nnx.eval_shape(
      lambda config=config: config.build(spec, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0))
    )
    deter, stoch = (jax.ShapeDtypeStruct((2, 3, width), jnp.float32) for width in (DETER, STOCH))
    pictures = jax.eval_shape(
      lambda params, *x, module=decoder: with_params(module, params)(*x), params_of(decoder), deter, stoch
    )
    assert pictures["image"].shape == (2, 3, *size, 3)
