"""How the arrays of an observation are grouped: images are stacked along channels, everything else becomes one vector."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from dreamerax.types import Array, ArraySpec


def image_keys(spec: Mapping[str, ArraySpec]) -> tuple[str, ...]:
  """Names of the images, in the order in which they are stacked."""
  return tuple(sorted(key for key, value in spec.items() if value.is_image))


def vector_shapes(spec: Mapping[str, ArraySpec]) -> tuple[tuple[str, tuple[int, ...]], ...]:
  """(name, shape) of whatever is no image, in the order in which it is concatenated."""
  return tuple((key, value.shape) for key, value in sorted(spec.items()) if not value.is_image)


def stacked_image_shape(spec: Mapping[str, ArraySpec]) -> tuple[int, int, int]:
  """(height, width, channels) of all images stacked.

  Raises:
    ValueError: images differ in resolution.
  """
  shapes = {key: spec[key].shape for key in image_keys(spec)}
  sizes = {shape[:2] for shape in shapes.values()}
  if len(sizes) > 1:
    raise ValueError(f"image observations must share one resolution, got {shapes}: resize them in the environment")
  height, width = sizes.pop()
  return height, width, sum(shape[-1] for shape in shapes.values())


def check_halvings(height: int, width: int, halvings: int) -> None:
  """Refuses images of which `halvings` halvings do not leave between 3 and 16 whole pixels a side.

  Raises:
    ValueError: names the sizes that would do.
  """
  factor = 2**halvings
  for side in (height, width):
    if side % factor or not 3 <= side // factor <= 16:
      raise ValueError(
        f"image size {height}x{width}: {halvings} stages need a multiple of {factor} between {3 * factor} and "
        f"{16 * factor} pixels a side; change the image size, or the number of mults of encoder and decoder"
      )


def concatenate_vectors(observation: Mapping[str, Array], shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> jax.Array:
  """Dict of [..., *shape] -> [..., F] float32."""
  parts = []
  for key, shape in shapes:
    x = jnp.asarray(observation[key], jnp.float32)
    parts.append(x.reshape(*x.shape[: x.ndim - len(shape)], math.prod(shape)))
  return jnp.concatenate(parts, -1)
