"""An encoder of feature points: where in an image each of some learned features is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import trunc_normal_in
from dreamerax.nets.encoders import Encoder, EncoderModule
from dreamerax.nets.observations import advice, image_keys, stacked_image_shape
from dreamerax.ops.spatial import expected_positions
from dreamerax.types import ArraySpec

_FIRST, _KERNEL = 7, 5  # sides of the kernels: of the first convolution, whose stride is 2, and of the others


@dataclass(frozen=True)
class SpatialSoftmaxEncoder(Encoder):
  """Feature points (Levine et al. 2016; Finn et al. 2016): the place of each channel of the last convolution, x and y.

  Convolutions, the first of kernel 7 and stride 2, the others of kernel 5, with ReLU between them; then a softmax over the
  pixels of each channel and the mean position under it. Its temperature is learned, one for all. They are without padding in
  the published networks, so that what is near an edge is seen by the outermost points alone: in an image of 40 pixels the
  points of three convolutions cover the middle 17.

  Grey is zero, but with a padding of black, black is: nothing shows then where an image that is black at its edges ends, and
  no points are drawn to the edges.
  """

  depths: tuple[int, ...] = (64, 32, 16)  # channels of each convolution; the last are the feature points
  padding: Literal["none", "grey", "black"] = "none"  # around images; zeros around activations: points reach the edges
  temperature: float = 0.1  # of the softmax in the beginning; at 1, a new encoder's points hardly leave the middle
  vector_layers: int = 2  # of the MLP for vectors
  vector_units: int = 128  # width of the MLP for vectors

  def __post_init__(self):
    checks.at_least(1, self, "vector_layers", "vector_units")
    checks.more_than_zero(self, "temperature")
    if not self.depths or min(self.depths) < 1:
      raise ValueError(f"depths={self.depths} must be one positive number or more")

  def build(self, spec: Mapping[str, ArraySpec], *, dtype: Any, rngs: nnx.Rngs) -> EncoderModule:
    stages: list[nnx.Module] = []
    if image_keys(spec):
      height, width, channels = stacked_image_shape(spec)
      least = _FIRST + 2 * (1 + (_KERNEL - 1) * (len(self.depths) - 1))  # leaves two pixels
      if self.padding == "none" and min(height, width) < least:
        raise ValueError(
          f"image size {height}x{width}: {len(self.depths)} convolutions without padding need {least} pixels a side; "
          f"{advice(height, width)}--image-size 64 resizes images; or give fewer --agent.world-model.encoder.depths"
        )
      if self.padding == "black":
        stages.append(_FromBlack())
      for i, units in enumerate(self.depths):
        last = i == len(self.depths) - 1
        side, stride = (_KERNEL, 1) if i else (_FIRST, 2)
        stages.append(_Convolution(channels, units, side, stride, last, self.padding != "none", dtype, rngs))
        channels = units
      stages.append(_Points(self.temperature))
    size = 2 * self.depths[-1] if stages else 0
    return EncoderModule(stages, size, spec, self.vector_layers, self.vector_units, dtype=dtype, rngs=rngs)


class _FromBlack(nnx.Module):
  """Images from -0.5 to 0.5, as encoders give them to their stages, to those from 0 to 1."""

  def __call__(self, x: jax.Array) -> jax.Array:
    return x + 0.5


class _Convolution(nnx.Module):
  """[N, H, W, I] -> [N, H', W', O], with a ReLU but in the last one."""

  def __init__(
    self, inputs: int, units: int, side: int, stride: int, last: bool, padded: bool, dtype: Any, rngs: nnx.Rngs
  ):
    self.stride, self.last, self.dtype = stride, last, dtype
    self.beyond = side // 2 if padded else 0  # pixels on each side
    self.kernel = nnx.Param(trunc_normal_in(1.0)(rngs.params(), (side, side, inputs, units), jnp.float32))
    self.bias = nnx.Param(jnp.zeros(units))

  def __call__(self, x: jax.Array) -> jax.Array:
    strides, layout = (self.stride, self.stride), ("NHWC", "HWIO", "NHWC")
    kernel = self.kernel[...].astype(self.dtype)
    margin = (self.beyond, self.beyond)
    x = jax.lax.conv_general_dilated(x, kernel, strides, (margin, margin), dimension_numbers=layout)
    x += self.bias[...].astype(self.dtype)
    return x if self.last else jax.nn.relu(x)


class _Points(nnx.Module):
  """[N, H, W, C] -> [N, 2 C] float32: x and y of each channel."""

  def __init__(self, temperature: float):
    self.log_temperature = nnx.Param(jnp.log(jnp.float32(temperature)))  # its exponential stays positive

  def __call__(self, x: jax.Array) -> jax.Array:
    points = expected_positions(x, jnp.exp(self.log_temperature[...]))
    return points.reshape(len(x), -1)
