"""Products with block-diagonal matrices."""

import jax
import jax.numpy as jnp

from dreamerax.ops.backend import on_cpu


def block_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Block g of the result is block g of x times matrix g: x [..., G, I], kernel [G, I, O] -> [..., G, O].

  On the CPU as one product for each block: XLA's batched product puts the blocks in front, and the transposition back costs
  more than the product.
  """
  if not on_cpu():
    return jnp.einsum("...gi,gio->...go", x, kernel)
  return jnp.stack([x[..., block, :] @ kernel[block] for block in range(len(kernel))], -2)
