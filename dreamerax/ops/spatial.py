"""Where in an image something is: the spatial softmax."""

import jax
import jax.numpy as jnp


def expected_positions(activations: jax.Array, temperature: jax.Array | float) -> jax.Array:
  """The mean position of each channel [N, C, 2] under the softmax of activations [N, H, W, C] over the pixels.

  x, along a row, comes before y; both run from -1 at the first pixel's centre to 1 at the last one's. In float32
  whatever the activations are, as exponentials of large ones lie far apart (Finn et al. 2016).
  """
  count, height, width, channels = activations.shape
  logits = activations.astype(jnp.float32) / temperature
  weights = jax.nn.softmax(logits.reshape(count, height * width, channels), 1).reshape(activations.shape)
  x, y = jnp.linspace(-1, 1, width), jnp.linspace(-1, 1, height)
  # Sums, and no products of matrices: accelerators would round the positions.
  across = (weights.sum(1) * x[:, None]).sum(1)
  down = (weights.sum(2) * y[:, None]).sum(1)
  return jnp.stack([across, down], -1)
