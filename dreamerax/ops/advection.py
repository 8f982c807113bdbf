"""Moves the pixels of images, or of any maps, by kernels of their own."""

import jax
import jax.numpy as jnp


def advect(image: jax.Array, flow: jax.Array) -> jax.Array:
  """Every pixel becomes a weighted sum of those around it; beyond the border are zeros.

  Args:
    image: [N, H, W, C].
    flow: [N, H, W, K²], K odd: the weights of the K x K pixels around each place, row by row.

  Returns:
    [N, H, W, C].
  """
  height, width = image.shape[1:3]
  side = round(flow.shape[-1] ** 0.5)
  if side % 2 == 0 or side**2 != flow.shape[-1]:
    raise ValueError(f"flow {flow.shape} must have K² weights for a pixel, K odd")
  reach = side // 2
  padded = jnp.pad(image, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
  total = jnp.zeros_like(image)
  for tap in range(side**2):
    row, column = divmod(tap, side)
    total += flow[..., tap, None] * padded[:, row : row + height, column : column + width]
  return total


def joint_flow(kernels: jax.Array, masks: jax.Array) -> jax.Array:
  """The flow [N, H, W, K²] that moves an image as a mixture of M images, each moved by a kernel as a whole.

  Moving the image once by the mixture of the kernels at each place costs an M-th of moving it M times:
  Σ_m mask_m(p) Σ_j k_m(j) x(p + j) = Σ_j (Σ_m mask_m(p) k_m(j)) x(p + j).

  Args:
    kernels: [N, M, K²]. masks: [N, H, W, M], the share of each moved image at each place.
  """
  return jnp.einsum("nhwm,nmk->nhwk", masks, kernels)
