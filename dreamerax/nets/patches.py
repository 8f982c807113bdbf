"""An encoder and a decoder of patches that do not overlap, for which a network over images is a chain of matrix products."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import MLP, Activation, Linear, activate
from dreamerax.nets.decoders import Decoder, DecoderModule
from dreamerax.nets.encoders import Encoder, EncoderModule
from dreamerax.nets.observations import center_pad, image_keys, stacked_image_shape, whole_size
from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class PatchEncoder(Encoder):
  """Each stage joins squares of pixels to one pixel by a linear layer and an activation; symlog and an MLP for vectors.

  A stage is a convolution whose stride is its kernel's side, as the first layer of a vision transformer (Dosovitskiy et al.
  2021). No pixel is read twice, so that on a CPU it takes one matrix product.
  """

  sides: tuple[int, ...] = (4, 4)
  """Of the square of pixels that a stage joins."""
  depths: tuple[int, ...] = (16, 64)
  """Channels of each stage."""
  activation: Activation = "elu"
  layers: int = 2
  """Of the MLP for vectors."""
  units: int = 256
  """Width of the MLP for vectors."""

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")
    _check_stages(self.sides, self.depths)

  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> EncoderModule:
    stages, size, padded = [], 0, None
    if image_keys(spec):
      height, width, channels = stacked_image_shape(spec)
      padded = height, width = _whole_patches(height, width, self.sides)
      for side, depth in zip(self.sides, self.depths, strict=True):
        stages.append(_Join(channels, side, depth, self.activation, dtype, rngs))
        height, width, channels = height // side, width // side, depth
      size = height * width * channels
    return EncoderModule(stages, size, spec, self.layers, self.units, padded=padded, dtype=dtype, rngs=rngs)


@dataclass(frozen=True)
class PatchDecoder(Decoder):
  """Each stage splits a pixel into a square of pixels, as `PatchEncoder` joins them; an MLP for vectors.

  Nothing bounds images to [0, 1]; vectors come out in symlog space.
  """

  sides: tuple[int, ...] = (4, 4)
  """Of the square that a stage makes of a pixel."""
  depths: tuple[int, ...] = (64, 16)
  """Channels of the picture that each stage begins with."""
  pool: int = 1
  """Side of the squares of pixels whose mean is predicted, in place of each pixel. A side of the last stage's squares is a
  multiple of it. The gradient is that of predicting each pixel by its square's mean, at less cost."""
  activation: Activation = "elu"
  layers: int = 2
  """Of the MLP for vectors."""
  units: int = 256
  """Width of the MLP for vectors."""

  def __post_init__(self):
    checks.at_least(1, self, "pool", "layers", "units")
    _check_stages(self.sides, self.depths)
    if self.sides[-1] % self.pool:
      raise ValueError(f"pool={self.pool} must divide the side of the last stage's squares, {self.sides[-1]}")

  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "PatchDecoderModule":
    return PatchDecoderModule(self, spec, deter, stoch, dtype=dtype, rngs=rngs)


class PatchDecoderModule(DecoderModule):
  """Built from `PatchDecoder`."""

  def __init__(
    self, config: PatchDecoder, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ):
    self.pool, self.activation = config.pool, config.activation
    self.decodes(spec)
    if self.images:
      channels = sum(self.image_channels)
      self.padded = height, width = _whole_patches(*self.image_size, config.sides)
      factor = math.prod(config.sides)
      self.small_shape = (height // factor, width // factor, config.depths[0])
      self.dense = Linear(deter + stoch, math.prod(self.small_shape), dtype=dtype, rngs=rngs)
      sides = [*config.sides[:-1], config.sides[-1] // config.pool]
      stages = zip(sides, config.depths, [*config.depths[1:], channels], strict=True)
      self.splits = nnx.Dict(
        {f"split{i}": _Split(inputs, side, units, dtype, rngs) for i, (side, inputs, units) in enumerate(stages)}
      )
      self.largest = height * width * channels
    if self.vectors:
      self.add_vectors(MLP(deter + stoch, config.units, config.layers, dtype=dtype, rngs=rngs), dtype=dtype, rngs=rngs)

  def project(self, deter: jax.Array, stoch: jax.Array) -> jax.Array:
    return self.dense(jnp.concatenate([deter, stoch], -1)).reshape(-1, *self.small_shape)

  def errors(self, small: jax.Array, truth: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    if self.pool == 1:
      return super().errors(small, truth)
    pictures = self.by_name(self._means(small))
    errors = {}
    for name, picture in pictures.items():
      whole = center_pad(truth[name], *self.padded).astype(jnp.float32)
      batch, height, width, channels = picture.shape
      whole = whole.reshape(batch, height, self.pool, width, self.pool, channels).mean((2, 4)) / 255
      errors[name] = self.pool**2 * jnp.square(picture - whole).sum((1, 2, 3))
    return errors

  def _upsample(self, small: jax.Array) -> jax.Array:
    means = self._means(small)
    return means.repeat(self.pool, 1).repeat(self.pool, 2) if self.pool > 1 else means

  def _means(self, small: jax.Array) -> jax.Array:
    """[N, h, w, c] -> [N, H / pool, W / pool, C] float32, whole patches."""
    x = small
    for split in self.splits.values():
      x = split(activate(self.activation, x))
    return x.astype(jnp.float32) + 0.5


class _Join(nnx.Module):
  """[N, H, W, I] -> [N, H / S, W / S, O]."""

  def __init__(self, inputs: int, side: int, units: int, activation: str, dtype: Any, rngs: nnx.Rngs):
    self.side, self.activation = side, activation
    self.linear = Linear(side * side * inputs, units, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // self.side, self.side, width // self.side, self.side, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // self.side, width // self.side, -1)
    return activate(self.activation, self.linear(x))


class _Split(nnx.Module):
  """[N, H, W, I] -> [N, S H, S W, O]."""

  def __init__(self, inputs: int, side: int, units: int, dtype: Any, rngs: nnx.Rngs):
    self.side, self.units = side, units
    self.linear = Linear(inputs, side * side * units, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    batch, height, width, _ = x.shape
    x = self.linear(x).reshape(batch, height, width, self.side, self.side, self.units)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * self.side, width * self.side, self.units)


def _check_stages(sides: Sequence[int], depths: Sequence[int]) -> None:
  for name, values in (("sides", sides), ("depths", depths)):
    if not values or min(values) < 1:
      raise ValueError(f"{name}={values} must be one positive number or more")
  if len(sides) != len(depths):
    raise ValueError(f"sides={sides} and depths={depths} must have the same length: one of each for a stage")


def _whole_patches(height: int, width: int, sides: Sequence[int]) -> tuple[int, int]:
  """(height, width) in pixels of the least picture of whole patches that holds an image; ValueError as `whole_size`."""
  way_out = (
    "change both --agent.world-model.encoder.sides and --agent.world-model.objectives.reconstruction.decoder.sides"
  )
  return whole_size(height, width, math.prod(sides), f"patches of {math.prod(sides)}", way_out)
