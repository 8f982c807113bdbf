"""Observations to one embedding: convolutions for images, an MLP for vectors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.nets.blocks import MLP, NormSilu, trunc_normal_in
from dreamerax.nets.observations import concatenate_vectors, image_keys, stacked_image_shape, vector_shapes
from dreamerax.ops.convolution import conv_same_pooled
from dreamerax.ops.transforms import symlog
from dreamerax.types import Array, ArraySpec


@dataclass(frozen=True)
class ConvEncoder:
  """DreamerV3's encoder: per stage a convolution, 2x2 max-pooling, RMSNorm, SiLU; symlog and an MLP for vectors."""

  depth: int = 64
  mults: tuple[int, ...] = (2, 3, 4, 4)  # channels of each stage, times depth
  kernel: int = 5
  layers: int = 3  # of the MLP for vectors
  units: int = 1024

  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> "ConvEncoderModule":
    """Raises ValueError naming the observations that cannot be encoded."""
    return ConvEncoderModule(self, spec, dtype=dtype, rngs=rngs)


class ConvEncoderModule(nnx.Module):
  """Built from `ConvEncoder`; `output_size` is the length of the embedding."""

  def __init__(self, config: ConvEncoder, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.images, self.vectors = image_keys(spec), vector_shapes(spec)
    self.output_size = 0
    if self.images:
      height, width, channels = stacked_image_shape(spec, len(config.mults))
      depths = [channels] + [config.depth * mult for mult in config.mults]
      self.stages = nnx.Dict(
        {f"stage{i}": _Stage(depths[i], depths[i + 1], config.kernel, dtype, rngs) for i in range(len(config.mults))}
      )
      self.output_size += (height * width) // 4 ** len(config.mults) * depths[-1]
    if self.vectors:
      size = sum(math.prod(shape) for _, shape in self.vectors)
      self.mlp = MLP(size, config.units, config.layers, dtype=dtype, rngs=rngs)
      self.output_size += config.units

  def __call__(self, observation: Mapping[str, Array]) -> jax.Array:
    """Dict of [..., *shape] -> [..., output_size]."""
    outputs = []
    if self.vectors:
      outputs.append(self.mlp(symlog(concatenate_vectors(observation, self.vectors))))
    if self.images:
      image = jnp.concatenate([observation[key] for key in self.images], -1)
      x = image.reshape(-1, *image.shape[-3:]).astype(self.dtype) / 255 - 0.5
      for stage in self.stages.values():
        x = stage(x)
      outputs.append(x.reshape(*image.shape[:-3], -1))
    return jnp.concatenate(outputs, -1)


class _Stage(nnx.Module):
  """[N, H, W, I] -> [N, H / 2, W / 2, O]."""

  def __init__(self, inputs: int, units: int, kernel: int, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.kernel = nnx.Param(trunc_normal_in(1.0)(rngs.params(), (kernel, kernel, inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))
    self.norm = NormSilu(units, dtype=dtype)

  def __call__(self, x: jax.Array) -> jax.Array:
    x = conv_same_pooled(x, self.kernel[...].astype(self.dtype))
    return self.norm(x + self.bias[...].astype(self.dtype))  # a bias per channel may as well follow the maximum
