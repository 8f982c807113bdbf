import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.encoders import ConvEncoder
from dreamerax.types import ArraySpec
from tests import plain

IMAGE, MASK = ArraySpec((16, 24, 3), "uint8"), ArraySpec((16, 24, 1), "uint8")
POSITION, GRID = ArraySpec((3,)), ArraySpec((2, 2))
CONFIG = ConvEncoder(depth=2, mults=(1, 2), units=6, layers=2)


def build(spec, config=CONFIG):
  return plain.randomised(lambda: config.build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)))


def observe(spec, leading, seed=0):
  rng = np.random.default_rng(seed)
  return {
    key: rng.integers(0, 256, (*leading, *value.shape), np.uint8)
    if value.is_image
    else 5 * rng.normal(size=(*leading, *value.shape)).astype(np.float32)
    for key, value in spec.items()
  }


def plain_images(params, images):
  x = np.concatenate(images, -1) / 255 - 0.5
  for i in range(len(params["stages"])):
    stage = params["stages"][f"stage{i}"]
    x = plain.norm_silu(stage["norm"], plain.max_pool(plain.conv_same(stage, x)))
  return x.reshape(len(x), -1)


def plain_vectors(params, vectors):
  x = np.concatenate([v.reshape(len(v), -1) for v in vectors], -1)
  return plain.mlp(params["mlp"], np.sign(x) * np.log(1 + np.abs(x)))


@pytest.mark.parametrize(
  "spec",
  [
    {"image": IMAGE},
    {"image": IMAGE, "mask": MASK},
    {"position": POSITION, "grid": GRID},
    {"position": POSITION, "image": IMAGE, "grid": GRID, "mask": MASK},
  ],
  ids=lambda spec: "+".join(spec),
)
def test_embeds_images_vectors_and_both(spec):
  encoder, params = build(spec)
  observation = observe(spec, (4,))
  expected = []
  if "position" in spec:
    expected.append(plain_vectors(params, [observation["grid"], observation["position"]]))  # by name
  if "image" in spec:
    expected.append(plain_images(params, [observation[key] for key in ("image", "mask") if key in spec]))
  expected = np.concatenate(expected, -1)
  got = plain.call(encoder, type(encoder).__call__, observation)
  np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
  assert got.shape == (4, encoder.output_size)


def test_leading_axes_are_kept():
  spec = {"image": IMAGE, "position": POSITION}
  encoder, _ = build(spec)
  observation = observe(spec, (2, 3))
  flat = {key: value.reshape(6, *value.shape[2:]) for key, value in observation.items()}
  nested, flat = (plain.call(encoder, type(encoder).__call__, x) for x in (observation, flat))
  np.testing.assert_allclose(nested.reshape(6, -1), flat, rtol=1e-4, atol=1e-5)


def test_other_sizes_are_padded_with_grey_all_around():
  spec = {"image": ArraySpec((18, 23, 3), "uint8")}
  encoder, params = build(spec)
  observation = observe(spec, (4,))
  padded = np.full((4, 20, 24, 3), 127.5)
  padded[:, 1:19, :23] = observation["image"]
  got = plain.call(encoder, type(encoder).__call__, observation)
  np.testing.assert_allclose(got, plain_images(params, [padded]), rtol=1e-3, atol=1e-4)


def test_multiples_are_not_touched_by_a_bit():
  encoder, _ = build({"image": IMAGE})
  image = observe({"image": IMAGE}, (4,))["image"]

  def bare(encoder, image):
    x = image.astype(jnp.float32) / 255 - 0.5
    for stage in encoder.stages.values():
      x = stage(x)
    return x.reshape(4, -1)

  np.testing.assert_array_equal(
    plain.call(encoder, type(encoder).__call__, {"image": image}), plain.call(encoder, bare, image)
  )


@pytest.mark.parametrize("shape", [(30, 64, 3), (64, 32, 3), (16, 16, 3), (257, 64, 3)])
def test_a_size_that_the_stages_cannot_halve_is_named(shape):
  config = ConvEncoder(depth=2, units=6)
  with pytest.raises(
    ValueError, match=rf"image size {shape[0]}x{shape[1]}: 4 stages need between 33 and 256 .* best a multiple of 16"
  ):
    build({"image": ArraySpec(shape, "uint8")}, config)


def test_images_of_different_sizes_are_refused():
  with pytest.raises(ValueError, match=r"one resolution.*\(16, 24, 3\).*\(32, 32, 3\)"):
    build({"a": IMAGE, "b": ArraySpec((32, 32, 3), "uint8")})
