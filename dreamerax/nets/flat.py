"""An encoder and decoders for which an image is a vector of pixels, without convolutions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import Activation, Linear, PlainMLP
from dreamerax.nets.decoders import Decoder, DecoderModule
from dreamerax.nets.encoders import Encoder, EncoderModule
from dreamerax.nets.observations import image_keys, stacked_image_shape
from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class FlatEncoder(Encoder):
  """An MLP over all pixels of an image, as for small images of few things (Watter et al. 2015); another one for vectors.

  Pixels are from 0, black, to 1, as in the published codes: most pixels of such images are black, and hide what moves
  from the first layer where they are not zero.
  """

  layers: int = 2  # of the MLP for images
  units: int = 300  # width of the MLP for images
  activation: Activation = "relu"  # of the MLP for images
  vector_layers: int = 2  # of the MLP for vectors
  vector_units: int = 128  # width of the MLP for vectors

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units", "vector_layers", "vector_units")

  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> EncoderModule:
    stages, size = [], 0
    if image_keys(spec):
      pixels, size = math.prod(stacked_image_shape(spec)), self.units
      mlp = PlainMLP(pixels, self.units, self.layers, self.activation, dtype=dtype, rngs=rngs)
      stages.append(_OfPixels(mlp))
    return EncoderModule(stages, size, spec, self.vector_layers, self.vector_units, dtype=dtype, rngs=rngs)


@dataclass(frozen=True)
class FlatDecoder(Decoder):
  """An MLP to all pixels of an image, and one to vectors; without hidden layers, pixels are linear in the latent.

  Nothing bounds images to [0, 1]; vectors come out in symlog space.
  """

  layers: int = 2  # hidden layers of the MLP for images
  units: int = 200  # width of the MLP for images
  activation: Activation = "relu"  # of both
  vector_layers: int = 2  # of the MLP for vectors
  vector_units: int = 128  # width of the MLP for vectors

  def __post_init__(self):
    checks.at_least(0, self, "layers")
    checks.at_least(1, self, "units", "vector_layers", "vector_units")

  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "FlatDecoderModule":
    return FlatDecoderModule(self, spec, deter, stoch, dtype=dtype, rngs=rngs)


class FlatDecoderModule(DecoderModule):
  """Built from `FlatDecoder`."""

  def __init__(
    self, config: FlatDecoder, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ):
    self.config = config
    how = {"dtype": dtype, "rngs": rngs}
    self.decodes(spec)
    if self.images:
      self.shape = (*self.image_size, sum(self.image_channels))
      self.hidden = PlainMLP(deter + stoch, config.units, config.layers, config.activation, **how)
      self.pixels = Linear(self.hidden.output_size, math.prod(self.shape), **how)
      self.largest = math.prod(self.shape)
    if self.vectors:
      layers, units = config.vector_layers, config.vector_units
      self.add_vectors(PlainMLP(deter + stoch, units, layers, config.activation, **how), **how)

  def project(self, deter: jax.Array, stoch: jax.Array) -> jax.Array:
    hidden = self.hidden(jnp.concatenate([deter, stoch], -1))
    return hidden.reshape(-1, 1, 1, hidden.shape[-1])

  def _upsample(self, small: jax.Array) -> jax.Array:
    return self._linear(small) + 0.5

  def _linear(self, small: jax.Array) -> jax.Array:
    """[N, 1, 1, U] -> float32 [N, H, W, C]."""
    return self.pixels(small).reshape(-1, *self.shape).astype(jnp.float32)


@dataclass(frozen=True)
class BernoulliDecoder(FlatDecoder):
  """A `FlatDecoder` whose pixels are probabilities of white.

  The error of an image is its negative log-likelihood, -x log p - (1 - x) log(1 - p) summed over pixels x in [0, 1],
  less that of the best p, which is x: 0 is reached, as by squared errors.
  """

  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "BernoulliDecoderModule":
    return BernoulliDecoderModule(self, spec, deter, stoch, dtype=dtype, rngs=rngs)


class BernoulliDecoderModule(FlatDecoderModule):
  """Built from `BernoulliDecoder`."""

  def errors(self, small: jax.Array, truth: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    logits = self.by_name(self._linear(small))
    return {name: _excess(logits[name], truth[name].astype(jnp.float32) / 255).sum((1, 2, 3)) for name in logits}

  def _upsample(self, small: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(self._linear(small))


@dataclass(frozen=True)
class MultiscaleDecoder(FlatDecoder):
  """A `FlatDecoder` whose images are compared coarsely as well as pixel by pixel, so that places that are near look alike.

  Two pictures of a small thing at two places differ in as many pixels whether the places are near or far, and an
  autoencoder gives them any codes. Sums over blocks tell how far. The error of an image is the squared difference of its
  sums over blocks of each size, so that a thing smaller than all of them counts as much at each size. The last blocks of a
  row or column are smaller where their side does not divide the image's.
  """

  blocks: tuple[int, ...] = (1, 2, 4, 10, 20)  # sides of the blocks, in pixels; 1: the pixels themselves

  def __post_init__(self):
    super().__post_init__()
    if not self.blocks or min(self.blocks) < 1 or len(set(self.blocks)) < len(self.blocks):
      raise ValueError(f"blocks={self.blocks} must be sides in pixels, one or more, each once")

  def build(
    self, spec: Mapping[str, ArraySpec], deter: int, stoch: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "MultiscaleDecoderModule":
    return MultiscaleDecoderModule(self, spec, deter, stoch, dtype=dtype, rngs=rngs)


class MultiscaleDecoderModule(FlatDecoderModule):
  """Built from `MultiscaleDecoder`."""

  config: MultiscaleDecoder

  def errors(self, small: jax.Array, truth: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    pictures = self.upsample(small)
    differences = {name: pictures[name] - truth[name].astype(jnp.float32) / 255 for name in pictures}
    return {
      name: jnp.stack([_block_error(x, side) for side in self.config.blocks]).sum(0) for name, x in differences.items()
    }


class _OfPixels(nnx.Module):
  """[N, H, W, C] from -0.5 to 0.5, as encoders give images to their stages -> [N, U]."""

  def __init__(self, mlp: PlainMLP):
    self.mlp = mlp

  def __call__(self, x: jax.Array) -> jax.Array:
    return self.mlp(x.reshape(x.shape[0], -1) + 0.5)


def _block_error(difference: jax.Array, side: int) -> jax.Array:
  """[N, H, W, C] -> [N]: squared sums over blocks of side² pixels, of which the last ones are cut."""
  count, height, width, channels = difference.shape
  beyond = ((0, 0), (0, -height % side), (0, -width % side), (0, 0))
  whole = jnp.pad(difference, beyond)
  sums = whole.reshape(count, -1, side, whole.shape[2] // side, side, channels).sum((2, 4))
  return jnp.square(sums).sum((1, 2, 3))


def _excess(logits: jax.Array, x: jax.Array) -> jax.Array:
  """KL(Bernoulli(x) ‖ Bernoulli(sigmoid(logits))) in nats, elementwise."""
  rest = jnp.maximum(1 - x, 0)  # below 0 by rounding for 255 / 255, where a division is fused with the difference
  entropy = -jax.scipy.special.xlogy(x, x) - jax.scipy.special.xlogy(rest, rest)
  return jax.nn.softplus(logits) - x * logits - entropy
