"""Every preset learns from pictures of 84x84, which no network of theirs halves or doubles evenly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax import envs
from dreamerax.agent import Agent
from dreamerax.nets.modules import params_of, with_params
from dreamerax.presets import PRESETS, build
from dreamerax.types import ArraySpec
from dreamerax.world_model.objectives.reconstruction import reconstruction_losses
from tests import plain

SMALLEST = {"quick": "tiny", "dreamer-v3": "1m", "dreamer-v2": "small", "dreamer-v1": "small", "planet": "small"}


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
  env = envs.make(envs.EnvConfig("dmc/cartpole_balance", image_size=84, rendering="balanced"), 0)
  image = env.reset().observation["image"]
  env.close()
  assert image.shape == (84, 84, 3) and image.std() > 5
  return image


@pytest.mark.parametrize("name", SMALLEST)
def test_a_step_downhill_on_a_real_frame_of_84_pixels(name: str, frame: np.ndarray):
  """Encoder and decoder alone, joined by the embedding: they are all of a preset that sees pixels and paints them."""
  config = build(name, SMALLEST[name]).agent.world_model
  spec = {"image": ArraySpec(frame.shape, "uint8")}
  encoder, _ = plain.randomised(lambda: config.encoder.build(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  size = encoder.output_size
  decoder = config.objectives["reconstruction"].decoder
  decoder, _ = plain.randomised(lambda: decoder.build(spec, size, size, dtype=jnp.float32, rngs=nnx.Rngs(0)))

  @jax.jit
  @jax.value_and_grad
  def loss(params, image):
    embed = with_params(encoder, params["encoder"])({"image": image})
    embed = embed[:, None]  # [B, T, F]
    losses = reconstruction_losses(with_params(decoder, params["decoder"]), embed, embed, {"image": image[:, None]})
    return losses["reconstruction/image"]

  params = {"encoder": params_of(encoder), "decoder": params_of(decoder)}
  before, gradient = loss(params, frame[None])
  still = [path for path, value in jax.tree_util.tree_leaves_with_path(gradient) if not np.any(value)]
  assert not still
  rate = 1e-3 * before / sum(np.sum(np.square(x)) for x in jax.tree.leaves(gradient))  # a plane would fall by 1e-3
  after, _ = loss(jax.tree.map(lambda x, dx: x - rate * dx, params, gradient), frame[None])
  assert 0 < after < before


@pytest.mark.parametrize("side", [84, 96, 128, 256])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_other_sizes(name: str, side: int):
  if name in ("cfm", "events", "vice") and side == 256:
    with pytest.raises(ValueError, match="image size 256x256: 3 stages need between 17 and 128 pixels"):
      Agent(build(name).agent, PRESETS[name].spec(ArraySpec((side, side, 3), "uint8"), 6))
    return
  agent, usual = (
    Agent(build(name).agent, PRESETS[name].spec(ArraySpec((side, side, 3), "uint8"), 6)) for side in (side, 64)
  )
  # It grows with the area at most, less the border that filters leave out.
  assert agent.parameter_count() < usual.parameter_count() * max(2, 1.25 * (side / 64) ** 2)
