"""A frame of moved pixels against a loop over kernels and masks, and a dot that is learned to move."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.heads import NormalHead
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from dreamerax.world_model.video.cdna import CDNA, CDNAModule
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.scheduled_sampling import ScheduledSampling
from tests import plain
from tests.ops.test_advection import moved_by_hand

SHAPE, ACTION = (16, 16, 2), 2
CONFIG = CDNA(channels=(2, 3, 2, 3, 4, 3, 2), side=3, moves=3, kernel=3)


@pytest.fixture(scope="module")
def model() -> CDNAModule:
  return plain.randomised(lambda: CONFIG.build(SHAPE, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))[0]


def inputs(seed: int) -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(seed)
  return rng.uniform(size=(2, *SHAPE)).astype(np.float32), rng.uniform(-1, 1, (2, ACTION)).astype(np.float32)


def test_a_frame_is_the_mixture_that_kernels_and_masks_say(model: CDNAModule):
  frame, action = inputs(0)
  state = model.initial(2)
  found = plain.call(model, CDNAModule.__call__, state, frame, action, None)
  _, (kernels, painted, masks) = plain.call(model, CDNAModule.motion, state, frame, action)
  assert kernels.shape == (2, 3, 9) and masks.shape == (2, 5, 16, 16)
  np.testing.assert_allclose(kernels.sum(-1), 1, rtol=1e-5)
  np.testing.assert_allclose(masks.sum(1), 1, rtol=1e-5)
  for row in range(2):
    expected = masks[row, 0, ..., None] * frame[row] + masks[row, 1, ..., None] * painted[row]
    for m in range(3):
      everywhere = np.broadcast_to(kernels[row, m].reshape(3, 3, 1, 1), (3, 3, 16, 16))
      expected += masks[row, 2 + m, ..., None] * moved_by_hand(frame[row], everywhere)
    np.testing.assert_allclose(found.frame[row], expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(found.flow.sum(1), 1 - masks[:, 1], rtol=1e-4)  # what is painted comes from nowhere


def test_it_remembers_and_listens_to_actions(model: CDNAModule):
  frame, action = inputs(1)
  other, _ = inputs(2)
  step = jax.jit(lambda *args: model(*args, None))
  first = step(model.initial(2), frame, action)
  again = step(first.state, other, action)
  alone = step(model.initial(2), other, action)
  assert np.abs(again.frame - alone.frame).max() > 1e-4  # what came before changes what is expected
  assert np.abs(step(model.initial(2), frame, -action).frame - first.frame).max() > 1e-4
  assert model.summary(first.state).shape == (2, 4)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"channels": (1, 2)}, r"channels=\(1, 2\) must be 7 positive numbers"),
    ({"kernel": 4}, "kernel=4 must be an odd number of pixels"),
    ({"side": 0}, "side=0 must be an odd number of pixels"),
    ({"moves": 0}, "moves=0 must be at least 1"),
  ],
)
def test_figures_that_make_no_sense_are_refused(fields: dict, message: str):
  with pytest.raises(ValueError, match=message):
    CDNA(**fields)


def test_a_map_of_an_image_that_is_framed_moves_as_the_frame_did():
  """Images of 22 x 21 pixels are framed in zeros to 24 x 24; maps are of the image's size."""
  spec = EnvSpec({"image": ArraySpec((22, 21, 3), "uint8")}, ActionSpec(2))
  model = VideoModel(CONFIG, ScheduledSampling(), StridedEncoder(depth=1, stages=1), NormalHead(layers=1, units=4))
  world = nnx.eval_shape(lambda: model.build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  rng = np.random.default_rng(0)
  where, flow = rng.uniform(size=(2, 22, 21, 1)), rng.uniform(size=(2, 9, 24, 24))
  padded = np.pad(where, ((0, 0), (1, 1), (1, 2), (0, 0)))
  expected = [moved_by_hand(padded[n], flow[n].reshape(3, 3, 24, 24))[1:23, 1:22] for n in range(2)]
  np.testing.assert_allclose(world.move({"flow": jnp.asarray(flow)}, jnp.asarray(where)), expected, rtol=1e-4)
  assert world.moves_pixels and world.latent_spec == {}


@pytest.mark.slow
def test_a_dot_that_actions_move_is_predicted_below_the_error_of_the_last_frame():
  """It moves a pixel to the left or to the right, as the action says."""
  config = CDNA(channels=(4,) * 7, side=3, moves=4, kernel=3, still=2.0)
  model = config.build((16, 16, 1), 1, dtype=jnp.float32, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(0)
  optimizer = optax.adam(3e-3)

  def draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places = rng.integers(2, 14, (count, 2))
    moves = rng.choice([-1, 1], count)
    frames = np.zeros((2, count, 16, 16, 1), np.float32)
    frames[0, np.arange(count), places[:, 0], places[:, 1]] = 1
    frames[1, np.arange(count), places[:, 0], places[:, 1] + moves] = 1
    return frames[0], moves[:, None].astype(np.float32), frames[1]

  def loss(params, frame, action, after):
    return jnp.square(
      with_params(model, params)(model.initial(len(frame)), frame, action, None).frame - after
    ).sum() / len(frame)

  @jax.jit
  def update(params, state, *data):
    value, gradient = jax.value_and_grad(loss)(params, *data)
    changes, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, changes), state, value

  params = params_of(model)
  state = optimizer.init(params)
  for _ in range(200):
    params, state, value = update(params, state, *draw(16))
  assert value < 1 < 2  # the last frame has 2: one dot too many, and one too few
