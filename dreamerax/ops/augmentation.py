"""Random changes of images that leave what they show."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from dreamerax.types import Array


def random_shift(images: Mapping[str, Array], most: int, key: jax.Array) -> dict[str, jax.Array]:
  """{name: [B, T, H, W, C]}, each sequence moved by -most … most pixels down and across, edges repeated.

  All pictures of a sequence, and all its cameras, move by the same (Yarats et al. 2021, who move single pictures by 4).
  """
  size = len(next(iter(images.values())))
  offsets = jax.random.randint(key, (size, 2), 0, 2 * most + 1)

  def move(sequence: jax.Array, offset: jax.Array) -> jax.Array:
    padded = jnp.pad(sequence, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    return jax.lax.dynamic_slice(padded, (0, offset[0], offset[1], 0), sequence.shape)

  return {name: jax.vmap(move)(jnp.asarray(image), offsets) for name, image in images.items()}
