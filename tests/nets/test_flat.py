"""An image as a vector of pixels: encoder and decoders against plain layers, and the likelihood of black and white."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.flat import BernoulliDecoder, FlatDecoder, FlatEncoder, MultiscaleDecoder, _excess
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ArraySpec
from dreamerax.world_model.objectives.reconstruction import reconstruction_losses
from tests import plain

IMAGE, MASK, GRID = ArraySpec((3, 4, 2), "uint8"), ArraySpec((3, 4, 1), "uint8"), ArraySpec((2, 2))
SPEC = {"image": IMAGE, "mask": MASK, "grid": GRID}
DETER, STOCH, N = 2, 3, 5


def relu_mlp(params, x):
  for linear in params.get("linears", {}).values():
    x = plain.relu(plain.linear(linear, x))
  return x


def pixels():
  rng = np.random.default_rng(0)
  return {name: rng.integers(0, 256, (N, *SPEC[name].shape), np.uint8) for name in ("image", "mask")}


def latents():
  rng = np.random.default_rng(1)
  return tuple(rng.normal(size=(N, size)).astype(np.float32) for size in (DETER, STOCH))


def decoder(config):
  return plain.randomised(lambda: config.build(SPEC, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0)))


def plain_logits(params):
  """[N, H, W, C] before anything is added, image and mask stacked."""
  hidden = relu_mlp(params.get("hidden", {}), np.concatenate(latents(), -1))
  return plain.linear(params["pixels"], hidden).reshape(N, 3, 4, 3)


def test_the_encoder_is_an_mlp_over_all_pixels_of_which_black_ones_are_zero():
  config = FlatEncoder(layers=2, units=6, vector_layers=1, vector_units=4)
  module, params = plain.randomised(lambda: config.build(SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  observation = pixels() | {"grid": np.ones((N, 2, 2), np.float32)}
  got = plain.call(module, type(module).__call__, observation)
  stacked = np.concatenate([observation["image"], observation["mask"]], -1) / 255
  expected = relu_mlp(params["stages"]["stage0"]["mlp"], stacked.reshape(N, -1))
  np.testing.assert_allclose(got[:, -6:], expected, rtol=1e-4, atol=1e-5)
  assert got.shape == (N, module.output_size) == (N, 10)


@pytest.mark.parametrize("layers", [0, 2])
def test_pixels_are_those_of_an_mlp_and_bernoulli_ones_probabilities(layers: int):
  for config in (FlatDecoder(layers=layers, units=6), BernoulliDecoder(layers=layers, units=6)):
    module, params = decoder(config)
    logits = plain_logits(params)
    expected = logits + 0.5 if type(config) is FlatDecoder else plain.sigmoid(logits)
    got = plain.call(module, type(module).__call__, *latents())
    np.testing.assert_allclose(np.concatenate([got["image"], got["mask"]], -1), expected, rtol=1e-4, atol=1e-5)
    assert got["grid"].shape == (N, 2, 2)


def test_the_error_of_black_and_white_is_its_likelihood_pixel_by_pixel():
  module, params = decoder(BernoulliDecoder(layers=1, units=6))
  logits, truth = plain_logits(params), pixels()
  got = plain.call(module, lambda each: each.errors(each.project(*latents()), truth))
  p = plain.sigmoid(logits[..., 2])
  expected = np.zeros(N)
  for n, i, j in np.ndindex(N, 3, 4):
    x = truth["mask"][n, i, j, 0] / 255
    cross = -x * np.log(p[n, i, j]) - (1 - x) * np.log(1 - p[n, i, j])
    entropy = 0.0 if x in (0, 1) else -x * np.log(x) - (1 - x) * np.log(1 - x)
    expected[n] += cross - entropy
  np.testing.assert_allclose(got["mask"], expected, rtol=1e-4)
  assert (got["image"] >= 0).all()


def test_images_are_compared_by_the_sums_over_blocks_of_each_size():
  spec = {"image": ArraySpec((5, 6, 2), "uint8")}
  config = MultiscaleDecoder(layers=0, blocks=(1, 4))
  module, _ = plain.randomised(lambda: config.build(spec, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  truth = np.random.default_rng(2).integers(0, 256, (N, 5, 6, 2), np.uint8)
  picture = plain.call(module, type(module).__call__, *latents())["image"]
  got = plain.call(module, lambda each: each.errors(each.project(*latents()), {"image": truth}))
  difference, expected = np.float64(picture) - truth / 255, np.zeros(N)
  for n in range(N):
    expected[n] += np.square(difference[n]).sum()
    for i, j, c in np.ndindex(2, 2, 2):  # 5 and 6 pixels: four, and what is left
      expected[n] += difference[n, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4, c].sum() ** 2
  np.testing.assert_allclose(got["image"], expected, rtol=1e-4)


def test_the_farther_a_small_thing_is_from_its_place_the_larger_is_the_error():
  """Pixels alone say only that it is elsewhere."""
  spec = {"image": ArraySpec((40, 40, 1), "uint8")}
  module = MultiscaleDecoder(layers=0).build(spec, DETER, STOCH, dtype=jnp.float32, rngs=nnx.Rngs(0))
  errors = []
  for column in (8, 11, 15, 32):
    truth, drawn = np.zeros((2, 1, 40, 40, 1), np.float32)
    truth[:, 8:10, 8:10], drawn[:, 8:10, column : column + 2] = 255, 1
    module.upsample = lambda small, drawn=drawn: {"image": drawn}
    errors.append(float(module.errors(jnp.zeros(()), {"image": truth})["image"][0]))
  assert errors[0] == 0 and sorted(set(errors)) == errors


def test_blocks_without_a_meaning_are_refused():
  for blocks in ((), (0, 2), (2, 2)):
    with pytest.raises(ValueError, match=r"blocks=.* must be sides in pixels, one or more, each once"):
      MultiscaleDecoder(blocks=blocks)


def test_white_images_have_an_error_where_a_division_is_fused_with_what_follows():
  shape = 8, 1600  # of more pixels than one vector instruction takes
  found = jax.jit(lambda x: _excess(jnp.zeros(shape), x.astype(jnp.float32) / 255).sum(-1))(
    np.full(shape, 255, np.uint8)
  )
  np.testing.assert_allclose(found, 1600 * np.log(2), rtol=1e-5)


def test_its_gradient_is_what_is_left_of_each_pixel_and_does_not_vanish():
  """Of the logits; a squared error behind a sigmoid has next to none where the sigmoid is flat."""
  module, _ = decoder(BernoulliDecoder(layers=0))
  truth = {name: np.where(image > 127, 255, 0).astype(np.uint8)[None] for name, image in pixels().items()}
  truth["grid"] = np.zeros((1, N, 2, 2))
  deter, stoch = (x[None] for x in latents())

  def loss(params):
    losses = reconstruction_losses(with_params(module, params), deter, stoch, truth)
    return losses["reconstruction/image"] + losses["reconstruction/mask"]

  bias = jax.jit(jax.grad(loss))(params_of(module))["pixels"]["bias"]
  pictures = plain.call(module, type(module).__call__, deter, stoch)
  left = np.concatenate([pictures[name] - truth[name] / 255 for name in ("image", "mask")], -1).mean((0, 1))
  np.testing.assert_allclose(bias.reshape(3, 4, 3), left, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("part", "name", "value"), [(FlatEncoder, "layers", 0), (FlatDecoder, "layers", -1)])
def test_sizes_that_do_not_exist_are_refused(part, name: str, value: int):
  with pytest.raises(ValueError, match=f"{name}={value} must be at least"):
    part(**{name: value})
