"""Convolutions with a bias that keep, halve or double the sides of a map, and the normalisation of maps."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.nets.blocks import unit_trunc_normal
from dreamerax.ops.convolution import conv_same, conv_strided, conv_transposed_strided

_SIDE = 4  # of the kernels of stride 2


class _Kernel(nnx.Module):
  """Kernel [K, K, I, O] and bias [O]."""

  def __init__(self, inputs: int, units: int, side: int, *, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.kernel = nnx.Param(unit_trunc_normal(rngs.params(), (side, side, inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def _cast(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Input, kernel and bias in the compute dtype."""
    return x.astype(self.dtype), self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)


class Conv(_Kernel):
  """Stride 1, with zeros beyond the border: [N, H, W, I] -> [N, H, W, O]; the kernel's side is odd."""

  def __call__(self, x: jax.Array) -> jax.Array:
    x, kernel, bias = self._cast(x)
    return conv_same(x, kernel) + bias


class HalvingConv(_Kernel):
  """Kernel 4 and stride 2: [N, H, W, I] with even sides -> [N, H / 2, W / 2, O]."""

  def __init__(self, inputs: int, units: int, *, dtype: Any, rngs: nnx.Rngs):
    super().__init__(inputs, units, _SIDE, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    x, kernel, bias = self._cast(x)
    return conv_strided(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel) + bias


class DoublingConv(_Kernel):
  """The transpose of `HalvingConv`: [N, H, W, I] -> [N, 2 H, 2 W, O]."""

  def __init__(self, inputs: int, units: int, *, dtype: Any, rngs: nnx.Rngs):
    super().__init__(inputs, units, _SIDE, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    x, kernel, bias = self._cast(x)
    return conv_transposed_strided(x, kernel)[:, 1:-1, 1:-1] + bias


class MapNorm(nnx.Module):
  """Layer normalisation over all entries of a map [N, H, W, C], with a scale and an offset for each channel; float32."""

  def __init__(self, channels: int):
    self.scale, self.offset = nnx.Param(jnp.ones(channels)), nnx.Param(jnp.zeros(channels))

  def __call__(self, x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-6) * self.scale[...] + self.offset[...]
