"""Encodes observations as one embedding: convolutions for images, an MLP for vectors."""

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import Initializer

from dreamerax import checks
from dreamerax.nets.blocks import MLP, Activation, NormSilu, Start, activate, initializer, trunc_normal_in
from dreamerax.nets.observations import (
  advice,
  center_pad,
  concatenate_vectors,
  image_keys,
  padded_size,
  stacked_image_shape,
  vector_shapes,
)
from dreamerax.ops.convolution import conv_same_pooled, conv_strided
from dreamerax.ops.transforms import symlog
from dreamerax.types import Array, ArraySpec


@dataclass(frozen=True)
class Encoder(abc.ABC):
  """Configuration of an encoder."""

  @abc.abstractmethod
  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> "EncoderModule":
    """Raises ValueError naming the observations that cannot be encoded."""


@dataclass(frozen=True)
class ConvEncoder(Encoder):
  """DreamerV3's encoder: per stage a convolution, 2x2 max-pooling, RMSNorm, SiLU; symlog and an MLP for vectors.

  Images whose sides are no multiple of 2 to the number of stages are padded to the next one, with zeros after the shift by
  half, which is what the convolutions themselves see beyond a border.
  """

  depth: int = 64  # channels, to be multiplied by `mults`
  mults: tuple[int, ...] = (2, 3, 4, 4)  # channels of each stage, times depth
  kernel: int = 5  # side of the convolutions, in pixels
  layers: int = 3  # of the MLP for vectors
  units: int = 1024  # width of the MLPs

  def __post_init__(self):
    checks.at_least(1, self, "depth", "kernel", "layers", "units")
    if not self.mults or min(self.mults) < 1:
      raise ValueError(f"mults={self.mults} must be one positive number or more")

  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> "EncoderModule":
    stages, size, padded = [], 0, None
    if image_keys(spec):
      height, width, channels = stacked_image_shape(spec)
      padded = height, width = padded_size(height, width, len(self.mults))
      for mult in self.mults:
        units = self.depth * mult
        stages.append(_Stage(channels, units, self.kernel, dtype, rngs))
        height, width, channels = height // 2, width // 2, units
      size = height * width * channels
    return EncoderModule(stages, size, spec, self.layers, self.units, padded=padded, dtype=dtype, rngs=rngs)


@dataclass(frozen=True)
class StridedEncoder(Encoder):
  """The encoder of PlaNet, Dreamer v1 and v2: convolutions of kernel 4 and stride 2 without padding; an MLP for vectors."""

  depth: int = 32  # channels of the first convolution; each further one has twice as many
  stages: int = 4
  activation: Activation = "relu"
  start: Start = "glorot_uniform"  # how the kernels of the convolutions begin; as published, TensorFlow's way
  layers: int = 3  # of the MLP for vectors
  units: int = 1024  # width of the MLPs

  def __post_init__(self):
    checks.at_least(1, self, "depth", "stages", "layers", "units")

  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> "EncoderModule":
    stages, size = [], 0
    if image_keys(spec):
      height, width, channels = stacked_image_shape(spec)
      least = 3 * 2**self.stages - 2  # leaves one pixel
      if min(height, width) < least:
        raise ValueError(
          f"image size {height}x{width}: too small for {self.stages} stages of stride 2, which need {least} pixels a side; "
          f"{advice(height, width)}--image-size 64 resizes images; or lower --agent.world-model.encoder.stages, where the "
          "decoder takes the size too: a StridedDecoder 16 pixels and more"
        )
      for i in range(self.stages):
        units = self.depth * 2**i
        stages.append(_StridedStage(channels, units, self.activation, initializer(self.start), dtype, rngs))
        height, width, channels = height // 2 - 1, width // 2 - 1, units
      size = height * width * channels
    return EncoderModule(stages, size, spec, self.layers, self.units, dtype=dtype, rngs=rngs)


class EncoderModule(nnx.Module):
  """Observations to an embedding of `output_size` numbers."""

  def __init__(
    self,
    stages: Sequence[nnx.Module],
    image_size: int,
    spec: Mapping[str, ArraySpec],
    layers: int,
    units: int,
    *,
    padded: tuple[int, int] | None = None,
    dtype: Any,
    rngs: nnx.Rngs,
  ):
    """
    Args:
      stages: map the stacked images, [N, H, W, C], one after the other.
      image_size: how many numbers come out of the last stage; 0 without images.
      layers, units: of the MLP for vectors.
      padded: (height, width) to which images are padded before the first stage; None leaves them as they are.
    """
    self.dtype, self.padded = dtype, padded
    self.images, self.vectors = image_keys(spec), vector_shapes(spec)
    self.stages = nnx.Dict({f"stage{i}": stage for i, stage in enumerate(stages)})
    self.output_size = image_size
    if self.vectors:
      size = sum(math.prod(shape) for _, shape in self.vectors)
      self.mlp = MLP(size, units, layers, dtype=dtype, rngs=rngs)
      self.output_size += units

  def __call__(self, observation: Mapping[str, Array]) -> jax.Array:
    """Dict of [..., *shape] -> [..., output_size]."""
    outputs = []
    if self.vectors:
      outputs.append(self.mlp(symlog(concatenate_vectors(observation, self.vectors))))
    if self.images:
      image = jnp.concatenate([observation[key] for key in self.images], -1)
      x = image.reshape(-1, *image.shape[-3:]).astype(self.dtype) / 255 - 0.5
      if self.padded:
        x = center_pad(x, *self.padded)
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


class _StridedStage(nnx.Module):
  """[N, H, W, I] -> [N, H / 2 - 1, W / 2 - 1, O]."""

  def __init__(self, inputs: int, units: int, activation: str, init: Initializer, dtype: Any, rngs: nnx.Rngs):
    self.dtype, self.activation = dtype, activation
    self.kernel = nnx.Param(init(rngs.params(), (4, 4, inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    x = conv_strided(x, self.kernel[...].astype(self.dtype)) + self.bias[...].astype(self.dtype)
    return activate(self.activation, x)
