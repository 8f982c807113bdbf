import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.decoders import ConvDecoder
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ArraySpec
from tests import plain

IMAGE, MASK = ArraySpec((16, 24, 3), "uint8"), ArraySpec((16, 24, 1), "uint8")
POSITION, GRID = ArraySpec((3,)), ArraySpec((2, 2))
CONFIG = ConvDecoder(depth=2, mults=(1, 2), units=6, layers=2, blocks=4)
DETER, STOCH = 8, 5


def build(spec, config=CONFIG):
  return plain.randomised(lambda: config.build(spec, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0)))


def latents(*leading):
  rng = np.random.default_rng(0)
  return tuple(rng.normal(size=(*leading, size)).astype(np.float32) for size in (DETER, STOCH))


def plain_image(params, deter, stoch, small=(4, 6)):
  # 16x24 halved twice is 4x6, with 4 channels; block g of deter gives channel g of it, pixel by pixel.
  from_deter = 0.0
  if deter.shape[-1]:
    blocks = np.split(plain.block_linear(params["from_deter"], deter), 4, -1)
    from_deter = np.concatenate([block.reshape(-1, *small, 1) for block in blocks], -1)
  hidden = plain.norm_silu(params["stoch_norm"], plain.linear(params["stoch_in"], stoch))
  from_stoch = plain.linear(params["from_stoch"], hidden).reshape(-1, *small, 4)
  x = plain.norm_silu(params["small_norm"], from_deter + from_stoch)
  x = plain.norm_silu(params["norms"]["norm0"], plain.conv_same(params["convs"]["conv0"], plain.upsample(x)))
  return plain.sigmoid(plain.conv_same(params["convs"]["conv1"], plain.upsample(x)))


@pytest.mark.parametrize(
  "spec",
  [
    {"image": IMAGE},
    {"mask": MASK, "image": IMAGE},
    {"position": POSITION, "grid": GRID},
    {"position": POSITION, "image": IMAGE, "grid": GRID, "mask": MASK},
  ],
  ids=lambda spec: "+".join(spec),
)
def test_decodes_images_vectors_and_both(spec):
  decoder, params = build(spec)
  deter, stoch = latents(4)
  expected = {}
  if "image" in spec:
    image = plain_image(params, deter, stoch)
    expected |= {"image": image[..., :3], "mask": image[..., 3:]}
  if "position" in spec:
    x = plain.mlp(params["mlp"], np.concatenate([deter, stoch], -1))
    expected["position"] = plain.linear(params["heads"]["position"], x)
    expected["grid"] = plain.linear(params["heads"]["grid"], x).reshape(-1, 2, 2)
  got = plain.call(decoder, type(decoder).__call__, deter, stoch)
  assert set(got) == set(spec)
  for key, value in got.items():
    assert value.shape == (4, *spec[key].shape)
    np.testing.assert_allclose(value, expected[key], rtol=1e-3, atol=1e-4)


def test_leading_axes_are_kept():
  decoder, _ = build({"image": IMAGE, "position": POSITION})
  deter, stoch = latents(2, 3)
  flat = plain.call(decoder, type(decoder).__call__, deter.reshape(6, -1), stoch.reshape(6, -1))
  for key, value in plain.call(decoder, type(decoder).__call__, deter, stoch).items():
    np.testing.assert_allclose(value.reshape(flat[key].shape), flat[key], rtol=1e-4, atol=1e-5)


def test_images_are_float32_in_any_compute_dtype():
  decoder = nnx.eval_shape(lambda: CONFIG.build({"image": IMAGE}, DETER, STOCH, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))
  assert (
    jax.eval_shape(lambda p, *x: with_params(decoder, p)(*x), params_of(decoder), *latents(2))["image"].dtype
    == jnp.float32
  )


def test_of_other_sizes_the_next_larger_is_painted_and_the_middle_kept():
  decoder, params = build({"image": ArraySpec((18, 23, 3), "uint8")})
  deter, stoch = latents(4)
  pictures = plain_image(params, deter, stoch, small=(5, 6))
  assert pictures.shape == (4, 20, 24, 3)
  got = plain.call(decoder, type(decoder).__call__, deter, stoch)["image"]
  np.testing.assert_allclose(got, pictures[:, 1:19, :23], rtol=1e-3, atol=1e-4)


def test_a_wrong_image_size_is_named():
  with pytest.raises(ValueError, match="image size 32x64: 4 stages need between 33 and 256 pixels a side"):
    build({"image": ArraySpec((32, 64, 3), "uint8")}, ConvDecoder(depth=2, units=6))


@pytest.mark.parametrize("empty", ["deter", "stoch"])
def test_a_latent_may_have_but_one_of_its_parts(empty):
  sizes = {"deter": DETER, "stoch": STOCH} | {empty: 0}
  module, params = plain.randomised(
    lambda: CONFIG.build({"image": IMAGE}, **sizes, dtype=jnp.float32, rngs=nnx.Rngs(0))
  )
  whole = dict(zip(("deter", "stoch"), latents(4), strict=True)) | {empty: np.zeros((4, 0), np.float32)}
  got = plain.call(module, type(module).__call__, *whole.values())["image"]
  np.testing.assert_allclose(got, plain_image(params, *whole.values()), atol=1e-5)
  assert np.ptp(np.asarray(got), axis=0).max() > 1e-3  # what is left decides the picture


def test_without_a_recurrent_state_no_parameter_is_empty():
  """A checkpoint takes none that is."""
  module = CONFIG.build({"image": IMAGE}, 0, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0))
  assert all(x.size for x in jax.tree.leaves(params_of(module)))
