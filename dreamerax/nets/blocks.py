"""Dense building blocks: initialisers, linear, block-linear, normalised activation, MLPs."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import Initializer

from dreamerax.ops.linear import block_product, split_block_product


def trunc_normal_in(scale: float) -> Initializer:
  """Truncated at two standard deviations and rescaled, so the standard deviation of what is drawn is sqrt(scale / fan-in).

  A layer may have no inputs, as where a latent has no deterministic part: its kernel is then empty.
  """
  draw = jax.nn.initializers.variance_scaling(scale, mode="fan_in", distribution="truncated_normal")

  def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
    return draw(key, shape, dtype, out_sharding) if math.prod(shape) else jnp.zeros(shape, dtype)

  return init


unit_trunc_normal = trunc_normal_in(1.0)
_MOST_LAYERS = 1000  # of an MLP

glorot_uniform = jax.nn.initializers.glorot_uniform()  # what TensorFlow's layers start from unless told otherwise

Activation = Literal["relu", "elu"]

Start = Literal["glorot_uniform", "truncated_normal"]


def initializer(name: Start) -> Initializer:
  """The initialiser that a `Start` names: TensorFlow's, or `trunc_normal_in(1)`."""
  return {"glorot_uniform": glorot_uniform, "truncated_normal": unit_trunc_normal}[name]


def activate(name: str, x: jax.Array) -> jax.Array:
  """The function that an `Activation` names, elementwise."""
  return getattr(jax.nn, name)(x)


class Linear(nnx.Module):
  """x @ kernel + bias over the last axis."""

  def __init__(
    self,
    inputs: int,
    units: int,
    *,
    dtype: Any,
    rngs: nnx.Rngs,
    scale: float = 1.0,
    init: Initializer = unit_trunc_normal,
  ):
    """init: draws the initial kernel. scale: factor on it; 0 starts the layer's output at zero."""
    self.dtype = dtype
    self.kernel = nnx.Param(_scaled(init, scale)(rngs.params(), (inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., inputs] -> [..., units] in the compute dtype."""
    return x.astype(self.dtype) @ self.kernel[...].astype(self.dtype) + self.bias[...].astype(self.dtype)


class SplitLinear(Linear):
  """A linear layer over [state, inputs]; what the inputs contribute can be computed for a whole sequence before a scan.

  `with_input(state, project_input(inputs))` is what calling the layer on their concatenation gives.
  """

  def __init__(
    self,
    state: int,
    inputs: int,
    units: int,
    *,
    dtype: Any,
    rngs: nnx.Rngs,
    init: Initializer = unit_trunc_normal,
  ):
    super().__init__(state + inputs, units, dtype=dtype, rngs=rngs, init=init)
    self.state_size = state

  def project_input(self, inputs: jax.Array) -> jax.Array:
    """[..., inputs] -> [..., units]: what the inputs contribute, the bias included."""
    return inputs.astype(self.dtype) @ self._kernel()[self.state_size :] + self.bias[...].astype(self.dtype)

  def with_input(self, state: jax.Array, projected: jax.Array) -> jax.Array:
    """state [..., state], projected [..., units] -> the layer's output [..., units]."""
    return state.astype(self.dtype) @ self._kernel()[: self.state_size] + projected

  def _kernel(self) -> jax.Array:
    return self.kernel[...].astype(self.dtype)


class BlockLinear(nnx.Module):
  """A linear layer whose matrix is block-diagonal: block g of the output sees only block g of the input."""

  def __init__(self, inputs: int, units: int, blocks: int, *, dtype: Any, rngs: nnx.Rngs):
    """Raises ValueError where blocks does not divide inputs and units."""
    if inputs % blocks or units % blocks:
      raise ValueError(f"blocks={blocks} must divide the layer's {inputs} inputs and {units} units")
    self.dtype, self.blocks = dtype, blocks
    shape = (blocks, inputs // blocks, units // blocks)
    # Fan-in counts the inputs of all blocks, as the published initialisation does: jax takes a leading axis for space.
    self.kernel = nnx.Param(unit_trunc_normal(rngs.params(), shape, jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., inputs] -> [..., units], both block-major."""
    x = block_product(self._to_blocks(x), self.kernel[...].astype(self.dtype))
    return x.reshape(*x.shape[:-2], -1) + self.bias[...].astype(self.dtype)

  def split(self, x: jax.Array, parts: int) -> list[jax.Array]:
    """[..., inputs] -> `parts` times [..., units / parts], block-major: the shares of every block's outputs."""
    outputs = split_block_product(self._to_blocks(x), self.kernel[...].astype(self.dtype), parts)
    biases = jnp.split(self.bias[...].astype(self.dtype).reshape(self.blocks, -1), parts, -1)
    return [output + bias.reshape(-1) for output, bias in zip(outputs, biases, strict=True)]

  def _to_blocks(self, x: jax.Array) -> jax.Array:
    return x.astype(self.dtype).reshape(*x.shape[:-1], self.blocks, -1)


class NormSilu(nnx.Module):
  """RMSNorm over the last axis with a learned scale, statistics in float32, then SiLU."""

  def __init__(self, units: int, *, dtype: Any):
    self.dtype = dtype
    self.scale = nnx.Param(jnp.ones(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., units] -> [..., units] in the compute dtype."""
    return norm_silu(x, self.scale[...]).astype(self.dtype)


def norm_silu(x: jax.Array, scale: jax.Array) -> jax.Array:
  """Computes `NormSilu`: x [..., units], scale [units] or one for each of several layers -> float32 [..., units]."""
  x = x.astype(jnp.float32)
  # Without `keepdims`, with which the compiler does not see that a layer with and one without a gradient compute the same.
  x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1) + 1e-4)[..., None] * scale
  return jax.nn.silu(x)


class MLP(nnx.Module):
  """`layers` times linear, RMSNorm, SiLU."""

  def __init__(self, inputs: int, units: int, layers: int, *, dtype: Any, rngs: nnx.Rngs):
    sizes = _sizes(inputs, units, layers)
    self.linears = nnx.Dict(
      {f"linear{i}": Linear(sizes[i], sizes[i + 1], dtype=dtype, rngs=rngs) for i in range(layers)}
    )
    self.norms = nnx.Dict({f"norm{i}": NormSilu(units, dtype=dtype) for i in range(layers)})
    self.output_size = sizes[-1]

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., inputs] -> [..., units]."""
    for linear, norm in zip(self.linears.values(), self.norms.values(), strict=True):
      x = norm(linear(x))
    return x


class PlainMLP(nnx.Module):
  """`layers` times linear, activation: no normalisation, Glorot uniform kernels (PlaNet, Dreamer v1 and v2)."""

  def __init__(self, inputs: int, units: int, layers: int, activation: Activation, *, dtype: Any, rngs: nnx.Rngs):
    sizes = _sizes(inputs, units, layers)
    self.activation = activation
    self.linears = nnx.Dict(
      {f"linear{i}": Linear(sizes[i], sizes[i + 1], dtype=dtype, rngs=rngs, init=glorot_uniform) for i in range(layers)}
    )
    self.output_size = sizes[-1]

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., inputs] -> [..., units]."""
    for linear in self.linears.values():
      x = activate(self.activation, linear(x))
    return x


def _sizes(inputs: int, units: int, layers: int) -> list[int]:
  """Returns the widths of an MLP's layers; ValueError where it would take hours to build."""
  if layers > _MOST_LAYERS:
    raise ValueError(f"layers={layers} must be at most {_MOST_LAYERS}")
  return [inputs] + [units] * layers


def _scaled(init, scale: float):
  return lambda key, shape, dtype: scale * init(key, shape, dtype)
