"""The recurrent cell of DreamerV3: a GRU whose big matrices are block-diagonal."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.nets.blocks import BlockLinear, Linear, NormSilu, norm_silu
from dreamerax.ops.linear import block_product


class BlockGRU(nnx.Module):
  """deter, stoch, action -> next deter (Hafner et al. 2023, section "World model"; figures as published in its code).

  Each of deter, stoch and action passes a dense layer of `hidden` units; the three results, repeated to every block beside
  the block's own part of deter, pass one block-linear hidden layer, and block-linear gates give reset, candidate, update.

  The hidden layer is computed as the sum of what each input contributes, instead of by concatenating and repeating them:
  the same numbers, without the copies, and what actions contribute can be computed for a whole sequence before a scan.
  """

  def __init__(self, deter: int, hidden: int, stoch: int, action: int, blocks: int, *, dtype: Any, rngs: nnx.Rngs):
    self.blocks, self.block_size, self.hidden_size = blocks, deter // blocks, hidden
    self.deter_in = Linear(deter, hidden, dtype=dtype, rngs=rngs)
    self.deter_norm = NormSilu(hidden, dtype=dtype)
    self.stoch_in = Linear(stoch, hidden, dtype=dtype, rngs=rngs)
    self.stoch_norm = NormSilu(hidden, dtype=dtype)
    self.action_in = Linear(action, hidden, dtype=dtype, rngs=rngs)
    self.action_norm = NormSilu(hidden, dtype=dtype)
    self.mix = BlockLinear(deter + blocks * 3 * hidden, deter, blocks, dtype=dtype, rngs=rngs)
    self.mix_norm = NormSilu(deter, dtype=dtype)
    self.gates = BlockLinear(deter, 3 * deter, blocks, dtype=dtype, rngs=rngs)
    self.dtype = dtype

  def project_action(self, action: jax.Array) -> jax.Array:
    """[..., A] -> [..., deter]: what the action contributes to the hidden layer. Actions are scaled down to [-1, 1]."""
    action = action / jax.lax.stop_gradient(jnp.maximum(1.0, jnp.abs(action)))
    return self._to_blocks(self.action_norm(self.action_in(action)), slice(2, 3))

  def __call__(self, deter: jax.Array, stoch: jax.Array, projected_action: jax.Array) -> jax.Array:
    """deter [..., D], stoch [..., S], projected_action [..., D] -> next deter [..., D]."""
    inputs = jnp.stack([self.deter_in(deter), self.stoch_in(stoch)], -2)
    inputs = norm_silu(inputs, jnp.stack([self.deter_norm.scale[...], self.stoch_norm.scale[...]])).astype(self.dtype)
    inputs = inputs.reshape(*deter.shape[:-1], -1)
    own = block_product(self._split(deter), self._mix_kernel()[:, : self.block_size])
    mixed = own.reshape(deter.shape) + self._to_blocks(inputs, slice(0, 2)) + projected_action
    mixed = self.mix_norm(mixed + self.mix.bias[...].astype(self.dtype))
    reset, candidate, update = self.gates.split(mixed, 3)
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1)
    return update * candidate + (1 - update) * deter

  def _mix_kernel(self) -> jax.Array:
    return self.mix.kernel[...].astype(self.dtype)

  def _to_blocks(self, x: jax.Array, which: slice) -> jax.Array:
    """Contribution of the shared inputs number `which` (0 deter, 1 stoch, 2 action) to all blocks: [..., D]."""
    rows = slice(self.block_size + which.start * self.hidden_size, self.block_size + which.stop * self.hidden_size)
    kernel = self._mix_kernel()[:, rows]  # [G, I, O]
    # Put in order apart from the product: jax moves this out of the steps of imagination, and of gradients.
    return x @ kernel.swapaxes(0, 1).reshape(kernel.shape[1], -1)

  def _split(self, x: jax.Array) -> jax.Array:
    return x.astype(self.dtype).reshape(*x.shape[:-1], self.blocks, -1)
