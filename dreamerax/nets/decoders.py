"""Decodes latents to observations: convolutions for images, an MLP for vectors."""

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import Initializer

from dreamerax import checks
from dreamerax.nets.blocks import (
  MLP,
  Activation,
  BlockLinear,
  Linear,
  NormSilu,
  PlainMLP,
  activate,
  glorot_uniform,
  trunc_normal_in,
  unit_trunc_normal,
)
from dreamerax.nets.observations import advice, center_crop, image_keys, padded_size, stacked_image_shape, vector_shapes
from dreamerax.ops.convolution import conv_transposed_strided, upsample_conv
from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class Decoder(abc.ABC):
  """Configuration of a decoder."""

  @abc.abstractmethod
  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "DecoderModule":
    """Raises ValueError naming the observations that cannot be decoded."""


class DecoderModule(nnx.Module):
  """Latents to observations, as far as decoders do not differ."""

  images: tuple[str, ...]  # names in the order in which they are stacked
  image_size: tuple[int, int]  # height and width, in pixels
  image_channels: tuple[int, ...]  # of each
  vectors: tuple[tuple[str, tuple[int, ...]], ...]  # name and shape
  mlp: MLP | PlainMLP  # where there are vectors
  heads: nnx.Dict  # from the MLP to each vector

  largest: int  # numbers in the largest array made for one step's images

  def __call__(self, deter: jax.Array, stoch: jax.Array) -> dict[str, jax.Array]:
    """deter [..., D], stoch [..., S] -> {name: [..., *shape]} float32: images aim at [0, 1], vectors are in symlog space."""
    pictures = self.upsample(self.project(deter, stoch)) if self.images else {}
    pictures = {name: x.reshape(*deter.shape[:-1], *x.shape[1:]) for name, x in pictures.items()}
    return pictures | self.decode_vectors(deter, stoch)

  def decodes(self, spec: Mapping[str, ArraySpec]) -> None:
    """Takes down names and shapes of what is decoded. Raises ValueError where images cannot be stacked."""
    self.images, self.vectors = image_keys(spec), vector_shapes(spec)
    if self.images:
      height, width, _ = stacked_image_shape(spec)
      self.image_size, self.image_channels = (height, width), tuple(spec[key].shape[-1] for key in self.images)

  @abc.abstractmethod
  def project(self, deter: jax.Array, stoch: jax.Array) -> jax.Array:
    """deter [..., D], stoch [..., S] -> small pictures [N, h, w, c], leading axes flattened: what `upsample` starts from."""

  def upsample(self, small: jax.Array) -> dict[str, jax.Array]:
    """[N, h, w, c] from `project` -> images {name: [N, H, W, C]} float32."""
    return self.by_name(center_crop(self._upsample(small), *self.image_size))

  def errors(self, small: jax.Array, truth: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """[N, h, w, c] from `project`, images {name: uint8 [N, H, W, C]} -> errors {name: [N]} summed over an image.

    They are squares in [0, 1], unless a decoder has another likelihood.
    """
    pictures = self.upsample(small)
    errors = {name: jnp.square(pictures[name] - truth[name].astype(jnp.float32) / 255) for name in pictures}
    return {name: error.sum((1, 2, 3)) for name, error in errors.items()}

  def by_name(self, image: jax.Array) -> dict[str, jax.Array]:
    """Images stacked along channels, [N, H, W, C] -> each by its name."""
    splits = [sum(self.image_channels[: i + 1]) for i in range(len(self.image_channels) - 1)]
    return dict(zip(self.images, jnp.split(image, splits, -1), strict=True))

  @abc.abstractmethod
  def _upsample(self, small: jax.Array) -> jax.Array:
    """[N, h, w, c] -> [N, H, W, C] float32, images stacked along channels.

    H and W may exceed `image_size`: of what is upsampled, the middle is kept.
    """

  def decode_vectors(self, deter: jax.Array, stoch: jax.Array) -> dict[str, jax.Array]:
    """deter [..., D], stoch [..., S] -> {name: [..., *shape]} float32, in symlog space."""
    if not self.vectors:
      return {}
    x = self.mlp(jnp.concatenate([deter, stoch], -1))
    return {key: self.heads[key](x).reshape(*x.shape[:-1], *shape).astype(jnp.float32) for key, shape in self.vectors}

  def add_vectors(
    self, mlp: MLP | PlainMLP, *, dtype: Any, rngs: nnx.Rngs, init: Initializer = unit_trunc_normal
  ) -> None:
    """mlp: from deter and stoch to what a linear layer, whose kernel `init` draws, makes each vector of."""
    self.mlp = mlp
    sizes = {key: math.prod(shape) for key, shape in self.vectors}
    self.heads = nnx.Dict(
      {key: Linear(mlp.output_size, size, dtype=dtype, rngs=rngs, init=init) for key, size in sizes.items()}
    )


@dataclass(frozen=True)
class ConvDecoder(Decoder):
  """DreamerV3's decoder: a small picture from deter (block-linear) and stoch (MLP), then nearest upsampling and convolutions.

  Images come out of a sigmoid, in [0, 1]; vectors come out in symlog space. Where the sides of an image are no multiple of 2 to
  the number of convolutions, the next larger ones are upsampled and the middle is kept, as the encoder pads them.
  """

  depth: int = 64  # channels, to be multiplied by `mults`
  mults: tuple[int, ...] = (2, 3, 4, 4)  # channels from the largest to the smallest resolution, times depth
  kernel: int = 5  # side of the convolutions, in pixels
  blocks: int = 8  # of the layer that reads deter
  layers: int = 3  # of the MLP for vectors
  units: int = 1024  # width of the MLPs

  def __post_init__(self):
    checks.at_least(1, self, "depth", "kernel", "blocks", "layers", "units")
    if not self.mults or min(self.mults) < 1:
      raise ValueError(f"mults={self.mults} must be one positive number or more")

  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "ConvDecoderModule":
    return ConvDecoderModule(self, spec, deter, stoch, dtype=dtype, rngs=rngs)


class ConvDecoderModule(DecoderModule):
  """Built from `ConvDecoder`."""

  def __init__(
    self, config: ConvDecoder, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ):
    self.dtype, self.blocks = dtype, config.blocks
    self.decodes(spec)
    if self.images:
      height, width = padded_size(*self.image_size, len(config.mults))
      channels = sum(self.image_channels)
      depths = [config.depth * mult for mult in config.mults]
      factor = 2 ** len(config.mults)
      self.small_shape = (height // factor, width // factor, depths[-1])
      small_size = math.prod(self.small_shape)
      # None where there is no recurrent state: checkpoints take no parameters without entries.
      self.from_deter = BlockLinear(deter, small_size, config.blocks, dtype=dtype, rngs=rngs) if deter else None
      self.stoch_in = Linear(stoch, 2 * config.units, dtype=dtype, rngs=rngs)
      self.stoch_norm = NormSilu(2 * config.units, dtype=dtype)
      self.from_stoch = Linear(2 * config.units, small_size, dtype=dtype, rngs=rngs)
      self.small_norm = NormSilu(depths[-1], dtype=dtype)
      sizes = list(reversed([channels, *depths]))
      self.largest = max(height * width // 4**i * units for i, units in enumerate([channels, *depths[:-1]]))
      self.convs = nnx.Dict(
        {f"conv{i}": _UpConv(sizes[i], sizes[i + 1], config.kernel, dtype, rngs) for i in range(len(depths))}
      )
      self.norms = nnx.Dict({f"norm{i}": NormSilu(size, dtype=dtype) for i, size in enumerate(sizes[1:-1])})
    if self.vectors:
      self.add_vectors(MLP(deter + stoch, config.units, config.layers, dtype=dtype, rngs=rngs), dtype=dtype, rngs=rngs)

  def project(self, deter: jax.Array, stoch: jax.Array) -> jax.Array:
    height, width, channels = self.small_shape
    small = 0.0
    if self.from_deter is not None:
      # Each block of deter makes its own channels of the small picture: [N, G (h w c)] -> [N, h, w, (G c)].
      small = self.from_deter(deter).reshape(-1, self.blocks, height, width, channels // self.blocks)
      small = small.transpose(0, 2, 3, 1, 4).reshape(-1, height, width, channels)
    from_stoch = self.from_stoch(self.stoch_norm(self.stoch_in(stoch)))
    return self.small_norm(small + from_stoch.reshape(-1, height, width, channels))

  def _upsample(self, small: jax.Array) -> jax.Array:
    x = small
    *inner, last = self.convs.values()
    for conv, norm in zip(inner, self.norms.values(), strict=True):
      x = norm(conv(x))
    return jax.nn.sigmoid(last(x).astype(jnp.float32))


_KERNELS = (5, 5, 6, 6)  # of the strided decoder's transposed convolutions


@dataclass(frozen=True)
class StridedDecoder(Decoder):
  """The decoder of PlaNet, Dreamer v1 and v2: a linear layer to one pixel, from there transposed convolutions to 64x64.

  Kernels 5, 5, 6, 6 of stride 2, Glorot uniform. The published ones predict pixels around zero; here 0.5 is added, which
  changes no loss; nothing bounds them to [0, 1]. Vectors come out of an MLP, in symlog space, as in all decoders here.

  The published codes know 64x64 alone. Here n pixels a side become 16 n + 48, and the linear layer makes as few as cover the
  image (3x3 for 84 and 96, 5x5 for 128), of which the middle is kept. It shares its 32 * depth outputs among them, so that it
  hardly grows with the image, until each pixel is left with `depth` channels (above 128); from there on it grows with the area.
  """

  depth: int = 32  # channels before the image's own, half as many as one convolution earlier
  activation: Activation = "relu"
  layers: int = 4  # of the MLP for vectors
  units: int = 400  # width of that MLP

  def __post_init__(self):
    checks.at_least(1, self, "depth", "layers", "units")

  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "StridedDecoderModule":
    return StridedDecoderModule(self, spec, deter, stoch, dtype=dtype, rngs=rngs)


class StridedDecoderModule(DecoderModule):
  """Built from `StridedDecoder`."""

  def __init__(
    self, config: StridedDecoder, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ):
    self.activation = config.activation
    self.decodes(spec)
    features = deter + stoch
    if self.images:
      height, width = self.image_size
      if min(height, width) < 16:
        raise ValueError(
          f"image size {height}x{width}: the strided decoder needs 16 pixels a side or more; "
          f"{advice(height, width)}--image-size 64 resizes images"
        )
      rows, columns = (max(1, -(-(side - 48) // 16)) for side in self.image_size)
      self.small_shape = (rows, columns, max(config.depth, -(-32 * config.depth // (rows * columns))))
      self.dense = Linear(features, math.prod(self.small_shape), dtype=dtype, rngs=rngs, init=glorot_uniform)
      sizes = [self.small_shape[-1], 4 * config.depth, 2 * config.depth, config.depth, sum(self.image_channels)]
      self.convs = nnx.Dict(
        {
          f"conv{i}": _TransposedConv(sizes[i], sizes[i + 1], kernel, dtype, rngs)
          for i, kernel in enumerate(_KERNELS)  # n -> 16 n + 48 pixels a side; 1 -> 5 -> 13 -> 30 -> 64
        }
      )
      self.largest = 0
      for kernel, units in zip(_KERNELS, sizes[1:], strict=True):
        rows, columns = 2 * rows - 2 + kernel, 2 * columns - 2 + kernel
        self.largest = max(self.largest, rows * columns * units)
    if self.vectors:
      mlp = PlainMLP(features, config.units, config.layers, config.activation, dtype=dtype, rngs=rngs)
      self.add_vectors(mlp, dtype=dtype, rngs=rngs, init=glorot_uniform)

  def project(self, deter: jax.Array, stoch: jax.Array) -> jax.Array:
    return self.dense(jnp.concatenate([deter, stoch], -1)).reshape(-1, *self.small_shape)

  def _upsample(self, small: jax.Array) -> jax.Array:
    x = small
    *inner, last = self.convs.values()
    for conv in inner:
      x = activate(self.activation, conv(x))
    return last(x).astype(jnp.float32) + 0.5


class _UpConv(nnx.Module):
  """[N, H, W, I] -> [N, 2 H, 2 W, O]: nearest upsampling, then a convolution."""

  def __init__(self, inputs: int, units: int, kernel: int, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.kernel = nnx.Param(trunc_normal_in(1.0)(rngs.params(), (kernel, kernel, inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    return upsample_conv(x, self.kernel[...].astype(self.dtype)) + self.bias[...].astype(self.dtype)


class _TransposedConv(nnx.Module):
  """[N, H, W, I] -> [N, 2 H - 2 + K, 2 W - 2 + K, O]: a transposed convolution of stride 2."""

  def __init__(self, inputs: int, units: int, kernel: int, dtype: Any, rngs: nnx.Rngs):
    self.dtype = dtype
    self.kernel = nnx.Param(glorot_uniform(rngs.params(), (kernel, kernel, inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    return conv_transposed_strided(x, self.kernel[...].astype(self.dtype)) + self.bias[...].astype(self.dtype)
