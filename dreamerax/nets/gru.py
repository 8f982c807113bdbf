"""GRU cells as TensorFlow computes and initialises them: PlaNet, Dreamer v1 and v2 have one each.

They differ in where the reset gate acts, in which biases they have and start with, and in normalisation.
"""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.nets.blocks import Linear, SplitLinear, glorot_uniform


@dataclass(frozen=True)
class GRU(abc.ABC):
  """Configuration of a gated recurrent unit (Cho et al. 2014)."""

  @abc.abstractmethod
  def build(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs) -> "GRUCell":
    """inputs: length of the input. deter: length of the state."""


class GRUCell(nnx.Module):
  """The next state from the state and what the inputs contribute to its gates."""

  @abc.abstractmethod
  def project_input(self, inputs: jax.Array) -> jax.Array:
    """[..., I] -> [..., 3 D]: what the inputs contribute; for a whole sequence at once where they are known before."""

  @abc.abstractmethod
  def __call__(self, deter: jax.Array, projected: jax.Array) -> jax.Array:
    """deter [..., D], projected [..., 3 D] -> next deter [..., D]."""


@dataclass(frozen=True)
class ResetBeforeGRU(GRU):
  """PlaNet's: TensorFlow 1's GRUBlockCell. The reset gate scales the state before the candidate's matrix product.

  Both gates start with a bias of 1; the update gate is the share of the old state that is kept.
  """

  def build(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs) -> "ResetBeforeGRUCell":
    return ResetBeforeGRUCell(inputs, deter, dtype=dtype, rngs=rngs)


class ResetBeforeGRUCell(GRUCell):
  """Built from `ResetBeforeGRU`."""

  def __init__(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs):
    self.gates = SplitLinear(deter, inputs, 2 * deter, dtype=dtype, rngs=rngs, init=glorot_uniform)
    self.gates.bias = nnx.Param(jnp.ones(2 * deter))
    self.candidate = SplitLinear(deter, inputs, deter, dtype=dtype, rngs=rngs, init=glorot_uniform)

  def project_input(self, inputs: jax.Array) -> jax.Array:
    return jnp.concatenate([self.gates.project_input(inputs), self.candidate.project_input(inputs)], -1)

  def __call__(self, deter: jax.Array, projected: jax.Array) -> jax.Array:
    gates_input, candidate_input = jnp.split(projected, [2 * deter.shape[-1]], -1)
    reset, update = jnp.split(jax.nn.sigmoid(self.gates.with_input(deter, gates_input)), 2, -1)
    candidate = jnp.tanh(self.candidate.with_input(reset * deter, candidate_input))
    return update * deter + (1 - update) * candidate


@dataclass(frozen=True)
class ResetAfterGRU(GRU):
  """Dreamer v1's: TensorFlow 2's Keras GRUCell. The reset gate scales what the state contributes to the candidate.

  Inputs and state have biases of their own; the state's matrix starts orthogonal. The update gate is the share of the old
  state that is kept.
  """

  def build(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs) -> "ResetAfterGRUCell":
    return ResetAfterGRUCell(inputs, deter, dtype=dtype, rngs=rngs)


class ResetAfterGRUCell(GRUCell):
  """Built from `ResetAfterGRU`."""

  def __init__(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs):
    orthogonal = jax.nn.initializers.orthogonal()
    self.inputs = Linear(inputs, 3 * deter, dtype=dtype, rngs=rngs, init=glorot_uniform)
    self.recurrent = Linear(deter, 3 * deter, dtype=dtype, rngs=rngs, init=orthogonal)

  def project_input(self, inputs: jax.Array) -> jax.Array:
    return self.inputs(inputs)

  def __call__(self, deter: jax.Array, projected: jax.Array) -> jax.Array:
    update_input, reset_input, candidate_input = jnp.split(projected, 3, -1)
    update, reset, candidate = jnp.split(self.recurrent(deter), 3, -1)
    update = jax.nn.sigmoid(update_input + update)
    reset = jax.nn.sigmoid(reset_input + reset)
    candidate = jnp.tanh(candidate_input + reset * candidate)
    return update * deter + (1 - update) * candidate


@dataclass(frozen=True)
class LayerNormGRU(GRU):
  """Dreamer v2's: one dense layer over inputs and state, one LayerNorm over all three gates, reset after both.

  The update gate has 1 subtracted and is the share of the new candidate, so that an untrained state moves slowly.
  """

  def build(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs) -> "LayerNormGRUCell":
    return LayerNormGRUCell(inputs, deter, dtype=dtype, rngs=rngs)


class LayerNormGRUCell(GRUCell):
  """Built from `LayerNormGRU`."""

  def __init__(self, inputs: int, deter: int, *, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.gates = SplitLinear(deter, inputs, 3 * deter, dtype=dtype, rngs=rngs, init=glorot_uniform)
    # Keras's epsilon; in float32, and not by the difference of two large moments.
    self.norm = nnx.LayerNorm(3 * deter, epsilon=1e-3, use_fast_variance=False, dtype=jnp.float32, rngs=rngs)

  def project_input(self, inputs: jax.Array) -> jax.Array:
    return self.gates.project_input(inputs)

  def __call__(self, deter: jax.Array, projected: jax.Array) -> jax.Array:
    gates = self.norm(self.gates.with_input(deter, projected)).astype(self.dtype)
    reset, candidate, update = jnp.split(gates, 3, -1)
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1)
    return update * candidate + (1 - update) * deter
