"""Products with block-diagonal matrices."""

import jax
import jax.numpy as jnp
from jax import lax

from dreamerax.ops.backend import on_cpu


def block_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Block g of the result is block g of x times matrix g: x [..., G, I], kernel [G, I, O] -> [..., G, O].

  On the CPU as one product for each block: XLA's batched product puts the blocks in front, and the transposition back costs
  more than the product.
  """
  if not on_cpu():
    return jnp.einsum("...gi,gio->...go", x, kernel)
  return jnp.stack([x[..., block, :] @ kernel[block] for block in range(len(kernel))], -2)


def split_block_product(x: jax.Array, kernel: jax.Array, parts: int) -> list[jax.Array]:
  """`block_product` with each block's outputs split: x [..., G, I], kernel [G, I, O] -> `parts` times [..., G·O / parts].

  Part p holds the p-th share of every block, block-major. On the CPU the parts are put together before anything reads them:
  a loop that finds its numbers in pieces of each block is not vectorised, and takes four times as long.
  """
  if not on_cpu():
    pieces = jnp.split(block_product(x, kernel), parts, -1)
    return [piece.reshape(*x.shape[:-2], -1) for piece in pieces]
  blocks = [jnp.split(x[..., block, :] @ kernel[block], parts, -1) for block in range(len(kernel))]
  return list(lax.optimization_barrier([jnp.concatenate(pieces, -1) for pieces in zip(*blocks, strict=True)]))
