"""Groups the arrays of an observation: images are stacked along channels, everything else becomes one vector.

And how images of any size fit networks that halve or double theirs: `center_pad` and `center_crop`.
"""

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
    raise ValueError(f"image observations must share one resolution, got {shapes}: resize them with --image-size 64")
  height, width = sizes.pop()
  return height, width, sum(shape[-1] for shape in shapes.values())


def padded_size(height: int, width: int, halvings: int) -> tuple[int, int]:
  """(height, width) in pixels of the least picture that holds an image and can be halved `halvings` times.

  Raises:
    ValueError: fewer than 3 or more than 16 pixels a side would be left; names the sizes that would do.
  """
  way_out = (
    "change the number of --agent.world-model.encoder.mults, which halve them, and with it that of "
    "--agent.world-model.objectives.reconstruction.decoder.mults, where there is a decoder"
  )
  return whole_size(height, width, 2**halvings, f"{halvings} stages", way_out)


def whole_size(height: int, width: int, factor: int, stages: str, way_out: str) -> tuple[int, int]:
  """(height, width) in pixels of the least picture that holds an image and whose sides are multiples of `factor`.

  Args:
    stages, way_out: what divides the sides by the factor, and how another factor is chosen; for the error.

  Raises:
    ValueError: fewer than 3 or more than 16 pixels a side would be left; names the sizes that would do.
  """
  small = [-(-side // factor) for side in (height, width)]
  if min(small) < 3 or max(small) > 16:
    raise ValueError(
      f"image size {height}x{width}: {stages} need between {2 * factor + 1} and {16 * factor} pixels a side, best "
      f"a multiple of {factor}; {advice(height, width)}--image-size 64 resizes images; or {way_out}"
    )
  return small[0] * factor, small[1] * factor


def advice(height: int, width: int) -> str:
  """Begins a hint with what images of that shape probably are; "" where they are probably images."""
  if height <= 12 and width > 3 * height:
    return "images are height, width, channels, in this order: --channels-first puts them in order; "
  if max(height, width) < 16:
    return "codes and boards are better shown as a float32 vector; "
  return ""


def center_pad(x: jax.Array, height: int, width: int) -> jax.Array:
  """[N, H, W, C] -> [N, height, width, C] with zeros around the image; an odd row or column more is put at the end."""
  rest = (height - x.shape[1], width - x.shape[2])
  return jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in rest), (0, 0)))


def center_crop(x: jax.Array, height: int, width: int) -> jax.Array:
  """[N, H, W, C] -> [N, height, width, C]: the middle, from where `center_pad` puts an image."""
  top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
  return x[:, top : top + height, left : left + width]


def concatenate_vectors(observation: Mapping[str, Array], shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> jax.Array:
  """Dict of [..., *shape] -> [..., F] float32."""
  parts = []
  for key, shape in shapes:
    x = jnp.asarray(observation[key], jnp.float32)
    parts.append(x.reshape(*x.shape[: x.ndim - len(shape)], math.prod(shape)))
  return jnp.concatenate(parts, -1)
