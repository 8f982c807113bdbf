"""The strided encoder: its convolution against the plain one, and what it accepts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.blocks import Start
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.modules import params_of
from dreamerax.ops.convolution import conv_strided
from dreamerax.types import ArraySpec


def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return jax.lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("side", [6, 13, 31])
def test_convolution_equals_the_plain_form_with_both_gradients(side: int):
  rng = np.random.default_rng(side)
  x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
  kernel = rng.normal(size=(4, 4, 3, 5)).astype(np.float32)
  np.testing.assert_allclose(conv_strided(x, kernel), plain(x, kernel), rtol=1e-4, atol=1e-4)

  def gradients(conv):
    return jax.grad(lambda x, kernel: jnp.sin(conv(x, kernel)).sum(), argnums=(0, 1))(x, kernel)

  for ours, theirs in zip(gradients(conv_strided), gradients(plain), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_embeds_images_and_vectors_as_planet_does():
  spec = {"image": ArraySpec((64, 64, 3), "uint8"), "speed": ArraySpec((2,))}
  encoder = StridedEncoder(depth=2, units=8, layers=1).build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0))
  observation = {"image": np.zeros((3, 5, 64, 64, 3), np.uint8), "speed": np.zeros((3, 5, 2), np.float32)}
  # 64 -> 31 -> 14 -> 6 -> 2 pixels a side, 16 channels, and the units of the MLP.
  assert encoder.output_size == 2 * 2 * 16 + 8
  assert encoder(observation).shape == (3, 5, encoder.output_size)


@pytest.mark.parametrize("height", [32, 45])
def test_refuses_images_that_are_too_small(height: int):
  with pytest.raises(ValueError, match=f"image size {height}x64: too small for 4 stages .* need 46 pixels a side"):
    StridedEncoder().build({"image": ArraySpec((height, 64, 3), "uint8")}, dtype=jnp.float32, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
  ("start", "largest"),
  # Both sides of the kernel count 16 pixels: of 3 and 64 channels together, or of the inputs alone.
  [("glorot_uniform", np.sqrt(6 / (16 * (3 + 64)))), ("truncated_normal", 2 / 0.8796 / np.sqrt(16 * 3))],
)
def test_kernels_start_within_the_range_of_their_initialiser(start: Start, largest: float):
  config = StridedEncoder(depth=64, stages=1, start=start)
  encoder = config.build({"image": ArraySpec((64, 64, 3), "uint8")}, dtype=jnp.float32, rngs=nnx.Rngs(0))
  kernel = np.abs(params_of(encoder)["stages"]["stage0"]["kernel"])
  assert 0.97 < kernel.max() / largest <= 1.001
