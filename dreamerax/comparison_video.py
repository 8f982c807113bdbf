"""Draws what was seen above what a world model predicted and where the two differ, as a video for people."""

import jax
import jax.numpy as jnp

from dreamerax import captions
from dreamerax.images import colored

_HEAD, _NAMES = 12, 36  # pixels of the words above and beside a video


def draw(seen: jax.Array, predicted: jax.Array, context: int) -> jax.Array:
  """uint8 [T, 12 + 3 H, 36 + B W, 3]: truth, prediction, error, for B sequences side by side.

  Args:
    seen: images uint8 [B, T, H, W, C].
    predicted: of the same shape, float, aimed at [0, 1].
    context: steps that the model observed; frames of the others are marked as imagined.
  """
  length = seen.shape[1]
  truth = seen.astype(jnp.float32) / 255
  error = (predicted - truth + 1) / 2
  tiles = jnp.concatenate([truth, predicted, error], 2)  # [B, T, 3 H, W, C]
  grid = tiles.transpose(1, 2, 0, 3, 4).reshape(length, tiles.shape[2], -1, tiles.shape[-1])
  return _label(colored((jnp.clip(grid, 0, 1) * 255).astype(jnp.uint8)), context)


def _label(video: jax.Array, context: int) -> jax.Array:
  """Truth, prediction and error [T, 3 H, W, 3] with their names beside them, under what the model gets of each frame."""
  length, height, width, _ = video.shape
  names = [captions.strip(name, _NAMES, height // 3) for name in ("truth", "model", "error")]
  left = jnp.broadcast_to(jnp.concatenate(names), (length, height, _NAMES, 3))
  words = (("seen", captions.SEEN), ("dreamt", captions.DREAMT))
  heads = jnp.stack([captions.strip(text, _NAMES + width, _HEAD, color) for text, color in words])
  head = heads[(jnp.arange(length) >= context).astype(jnp.int32)]  # [T, _HEAD, _NAMES + W, 3]
  return jnp.concatenate([head, jnp.concatenate([left, video], 2)], 1)
