import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.patches import PatchDecoder, PatchEncoder
from dreamerax.types import ArraySpec
from dreamerax.world_model.objectives.reconstruction import reconstruction_losses
from tests import plain

IMAGE, MASK = ArraySpec((24, 32, 3), "uint8"), ArraySpec((24, 32, 1), "uint8")
GRID = ArraySpec((2, 2))
ENCODER = PatchEncoder(sides=(4, 2), depths=(3, 5), layers=1, units=6)
DECODER = PatchDecoder(sides=(2, 4), depths=(5, 3), layers=1, units=6)
DETER, STOCH = 8, 5


def encoder(spec, config=ENCODER):
  return plain.randomised(lambda: config.build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)))


def decoder(spec, config=DECODER):
  return plain.randomised(lambda: config.build(spec, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0)))


def pixels(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def latents(*leading):
  rng = np.random.default_rng(0)
  return tuple(rng.normal(size=(*leading, size)).astype(np.float32) for size in (DETER, STOCH))


def elu(x):
  return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def joined(stage, x, side):
  """Pixel by pixel: each square of the picture, row by row, through the layer."""
  batch, height, width, _ = x.shape
  rows = []
  for i in range(0, height, side):
    squares = [x[:, i : i + side, j : j + side].reshape(batch, -1) for j in range(0, width, side)]
    rows.append(np.stack([elu(plain.linear(stage["linear"], square)) for square in squares], 1))
  return np.stack(rows, 1)


def split(stage, x, side):
  """Pixel by pixel: what the layer makes of it is a square of the larger picture, row by row."""
  batch, height, width, _ = x.shape
  whole = None
  for i in range(height):
    for j in range(width):
      square = plain.linear(stage["linear"], elu(x[:, i, j])).reshape(batch, side, side, -1)
      if whole is None:
        whole = np.zeros((batch, height * side, width * side, square.shape[-1]))
      whole[:, i * side : (i + 1) * side, j * side : (j + 1) * side] = square
  return whole


def plain_pictures(params, deter, stoch, sides, small=(3, 4)):
  x = plain.linear(params["dense"], np.concatenate([deter, stoch], -1)).reshape(len(deter), *small, 5)
  for stage, side in zip(params["splits"].values(), sides, strict=True):
    x = split(stage, x, side)
  return x + 0.5


def test_images_become_a_chain_of_squares_and_vectors_pass_an_mlp():
  spec = {"image": IMAGE, "mask": MASK, "grid": GRID}
  module, params = encoder(spec)
  image, mask, grid = pixels(4, *IMAGE.shape), pixels(4, *MASK.shape), np.random.default_rng(1).normal(size=(4, 2, 2))
  x = np.concatenate([image, mask], -1) / 255 - 0.5
  x = joined(params["stages"]["stage1"], joined(params["stages"]["stage0"], x, 4), 2)
  vector = plain.mlp(params["mlp"], np.sign(grid).reshape(4, -1) * np.log1p(np.abs(grid)).reshape(4, -1))
  got = plain.call(module, type(module).__call__, {"image": image, "mask": mask, "grid": grid.astype(np.float32)})
  np.testing.assert_allclose(got, np.concatenate([vector, x.reshape(4, -1)], -1), rtol=1e-3, atol=1e-4)
  assert got.shape == (4, module.output_size)


def test_pictures_are_split_pixel_by_pixel_and_vectors_come_from_an_mlp():
  module, params = decoder({"image": IMAGE, "mask": MASK, "grid": GRID})
  deter, stoch = latents(4)
  pictures = plain_pictures(params, deter, stoch, (2, 4))
  got = plain.call(module, type(module).__call__, deter, stoch)
  np.testing.assert_allclose(got["image"], pictures[..., :3], rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(got["mask"], pictures[..., 3:], rtol=1e-3, atol=1e-4)
  hidden = plain.mlp(params["mlp"], np.concatenate([deter, stoch], -1))
  np.testing.assert_allclose(got["grid"], plain.linear(params["heads"]["grid"], hidden).reshape(4, 2, 2), atol=1e-4)


def test_of_pooled_pictures_each_pixel_is_its_squares_mean():
  module, params = decoder({"image": IMAGE}, PatchDecoder(sides=(2, 4), depths=(5, 3), pool=2))
  deter, stoch = latents(4)
  means = plain_pictures(params, deter, stoch, (2, 2))
  got = plain.call(module, type(module).__call__, deter, stoch)["image"]
  np.testing.assert_allclose(got, means.repeat(2, 1).repeat(2, 2), rtol=1e-3, atol=1e-4)


def test_pooled_pictures_have_the_gradient_of_predicting_every_pixel():
  spec = {"image": IMAGE, "mask": MASK}
  module, _ = decoder(spec, PatchDecoder(sides=(2, 4), depths=(5, 3), pool=2))
  deter, stoch = latents(2, 3)
  truth = {name: pixels(2, 3, *array.shape) for name, array in spec.items()}

  def every_pixel(module, deter, stoch, truth):
    pictures = module(deter, stoch)
    return sum(jnp.square(pictures[name] - truth[name] / 255).sum((2, 3, 4)).mean() for name in spec)

  def pooled(module, deter, stoch, truth):
    return sum(reconstruction_losses(module, deter, stoch, truth).values())

  gradients = [
    plain.call(module, jax.grad(loss, argnums=(1, 2)), deter, stoch, truth) for loss in (every_pixel, pooled)
  ]
  for one, other in zip(*gradients, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pool", [1, 2])
def test_other_sizes_are_padded_with_grey_and_cut_from_the_middle(pool):
  spec = {"image": ArraySpec((21, 30, 3), "uint8")}
  module, params = encoder(spec)
  image = pixels(4, 21, 30, 3)
  padded = np.full((4, 24, 32, 3), 127.5)
  padded[:, 1:22, 1:31] = image
  expected = joined(params["stages"]["stage1"], joined(params["stages"]["stage0"], padded / 255 - 0.5, 4), 2)
  got = plain.call(module, type(module).__call__, {"image": image})
  np.testing.assert_allclose(got, expected.reshape(4, -1), rtol=1e-3, atol=1e-4)

  module, params = decoder(spec, PatchDecoder(sides=(2, 4), depths=(5, 3), pool=pool))
  deter, stoch = latents(4)
  pictures = plain_pictures(params, deter, stoch, (2, 4 // pool)).repeat(pool, 1).repeat(pool, 2)
  got = plain.call(module, type(module).__call__, deter, stoch)["image"]
  np.testing.assert_allclose(got, pictures[:, 1:22, 1:31], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("build", "part"), [(encoder, PatchEncoder()), (decoder, PatchDecoder(pool=2))])
def test_a_size_that_does_not_fit_is_named(build, part):
  with pytest.raises(
    ValueError, match="image size 32x64: patches of 16 need between 33 and 256 pixels a side, best a mul"
  ):
    build({"image": ArraySpec((32, 64, 3), "uint8")}, part)


@pytest.mark.parametrize(
  ("part", "values", "message"),
  [
    (PatchEncoder, {"sides": ()}, r"sides=\(\) must be one positive number or more"),
    (PatchDecoder, {"depths": (0, 4)}, r"depths=\(0, 4\) must be"),
    (PatchEncoder, {"sides": (4,)}, r"sides=\(4,\) and depths=\(16, 64\) must have the same length"),
    (PatchDecoder, {"pool": 3}, "pool=3 must divide the side of the last stage's squares, 4"),
    (PatchDecoder, {"pool": 0}, "pool"),
  ],
)
def test_sizes_that_do_not_fit_are_refused(part, values, message):
  with pytest.raises(ValueError, match=message):
    part(**values)
