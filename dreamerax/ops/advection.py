"""Moves the pixels of images, or of any maps, by kernels of their own."""

import jax
import jax.numpy as jnp


def advect(image: jax.Array, flow: jax.Array) -> jax.Array:
  """Every pixel becomes a weighted sum of those around it; beyond the border are zeros. Reverse-mode gradients only.

  Args:
    image: [N, H, W, C].
    flow: [N, K², H, W], K odd: the weights of the K x K pixels around each place, row by row.

  Returns:
    [N, H, W, C].
  """
  side = round(flow.shape[1] ** 0.5)
  if side % 2 == 0 or side**2 != flow.shape[1]:
    raise ValueError(f"flow {flow.shape} must have K² weights for a pixel, K odd")
  return _advect(image.transpose(0, 3, 1, 2), flow).transpose(0, 2, 3, 1)


def joint_flow(kernels: jax.Array, masks: jax.Array) -> jax.Array:
  """The flow [N, K², H, W] that moves an image as a mixture of M images, each moved by a kernel as a whole.

  Moving the image once by the mixture of the kernels at each place costs an M-th of moving it M times:
  Σ_m mask_m(p) Σ_j k_m(j) x(p + j) = Σ_j (Σ_m mask_m(p) k_m(j)) x(p + j).

  Args:
    kernels: [N, M, K²]. masks: [N, M, H, W], the share of each moved image at each place.
  """
  return jnp.einsum("nmhw,nmk->nkhw", masks, kernels)


@jax.custom_vjp
def _advect(image: jax.Array, flow: jax.Array) -> jax.Array:
  """Image [N, C, H, W], flow [N, K², H, W] -> [N, C, H, W]."""
  return _sum([flow[:, tap, None] * pixels for tap, pixels in enumerate(_around(image, flow.shape[1]))])


def _forward(image: jax.Array, flow: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _advect(image, flow), (image, flow)


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The gradients as sums over taps again: those that JAX derives pad an array for every tap, and add them up."""
  image, flow = saved
  taps = flow.shape[1]
  by_flow = jnp.stack([(gradient * pixels).sum(1) for pixels in _around(image, taps)], 1)
  weights, arrived = _around(flow, taps)[::-1], _around(gradient, taps)[::-1]  # at the places that a pixel went to
  return _sum([weights[tap][:, tap, None] * arrived[tap] for tap in range(taps)]), by_flow


_advect.defvjp(_forward, _backward)


def _around(maps: jax.Array, taps: int) -> list[jax.Array]:
  """Of maps [N, C, H, W], those K² that have each place's neighbours, row by row, in its place."""
  side, (height, width) = round(taps**0.5), maps.shape[2:]
  reach = side // 2
  padded = jnp.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
  places = (divmod(tap, side) for tap in range(taps))
  return [padded[:, :, row : row + height, column : column + width] for row, column in places]


def _sum(arrays: list[jax.Array]) -> jax.Array:
  return sum(arrays[1:], arrays[0])
