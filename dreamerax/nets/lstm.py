"""Long short-term memory, over vectors and over maps."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import Initializer

from dreamerax.nets.blocks import Linear, unit_trunc_normal
from dreamerax.nets.convolutions import Conv

Memory = dict[str, jax.Array]  # "hidden" and "cell", of the same shape


class LSTM(nnx.Module):
  """A cell of `units` numbers (Hochreiter and Schmidhuber 1997, with forget gates)."""

  def __init__(self, inputs: int, units: int, *, dtype: Any, rngs: nnx.Rngs, init: Initializer = unit_trunc_normal):
    self.units = units
    self.gates = Linear(inputs + units, 4 * units, dtype=dtype, rngs=rngs, init=init)

  def initial(self, batch: int) -> Memory:
    """Zeros [batch, units]."""
    return {name: jnp.zeros((batch, self.units)) for name in ("cell", "hidden")}

  def __call__(self, memory: Memory, x: jax.Array) -> Memory:
    """Memory [N, units], x [N, inputs] -> the next memory, float32."""
    return through_gates(memory["cell"], self.gates(jnp.concatenate([x, memory["hidden"].astype(x.dtype)], -1)))


class ConvLSTM(nnx.Module):
  """A cell whose gates are convolutions over the input and the hidden map (Shi et al. 2015)."""

  def __init__(self, inputs: int, units: int, size: tuple[int, int], kernel: int = 5, *, dtype: Any, rngs: nnx.Rngs):
    """
    Args:
      units: channels of the memory. size: its height and width. kernel: side of the convolution, odd.
    """
    self.shape = (*size, units)
    self.gates = Conv(inputs + units, 4 * units, kernel, dtype=dtype, rngs=rngs)

  def initial(self, batch: int) -> Memory:
    """Zeros [batch, H, W, units]."""
    return {name: jnp.zeros((batch, *self.shape)) for name in ("cell", "hidden")}

  def __call__(self, memory: Memory, x: jax.Array) -> Memory:
    """Memory [N, H, W, units], x [N, H, W, inputs] -> the next memory, float32."""
    gates = self.gates(jnp.concatenate([x, memory["hidden"].astype(x.dtype)], -1))
    return through_gates(memory["cell"], gates, forget_bias=1.0)


def through_gates(cell: jax.Array, gates: jax.Array, forget_bias: float = 0.0) -> Memory:
  """The next memory [..., U] from the cell [..., U] and input, candidate, forget and output gate [..., 4 U] before
  their functions."""
  enter, candidate, forget, leave = jnp.split(gates.astype(jnp.float32), 4, -1)
  cell = jax.nn.sigmoid(forget + forget_bias) * cell + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
  return {"cell": cell, "hidden": jax.nn.sigmoid(leave) * jnp.tanh(cell)}
