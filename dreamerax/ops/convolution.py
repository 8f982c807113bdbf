"""Convolutions of the pixel encoder and decoder, in exact forms that a CPU runs several times faster than plain ones.

Images are [B, H, W, C], kernels [K, K, I, O]; but for strides K is odd and padding SAME. Two identities do most of the work:

- A convolution followed by a 2x2 max-pool needs its four output phases side by side. Moving each 2x2 block of pixels
  into channels makes them one convolution, 4·I -> 4·O channels, at half the resolution, and the pool a maximum over
  four channels.
- Nearest-neighbour upsampling repeats pixels, so the taps that see the same one can be added first: the convolution at
  the high resolution is four small ones at the low resolution, one for each phase, K=5 becoming 3x3.

Both rewrite the kernel by a fixed linear map and equal the plain form to rounding, borders included. What stays slow on
a CPU is XLA's gradient for the kernel; there it is written as a matrix product instead. Reverse-mode gradients only.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dreamerax.ops.backend import on_cpu
from dreamerax.ops.chunks import chunk_size, over_chunks

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 12  # with fewer outputs, a convolution on the CPU gains from two pixels at a time
_TENSOR_CORE = 8  # an accelerator fills fewer inputs up with zeros, and gains from four pixels at a time


def conv_same(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution of stride 1 with zero padding: x [B, H, W, I], kernel [K, K, I, O] -> [B, H, W, O]."""
  _check(x, kernel)
  return _convolve(x, kernel) if on_cpu() else _plain(x, kernel)


def conv_same_pooled(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
  """`conv_same`, plus bias [O], then a 2x2 max-pool: x [B, H, W, I] with even H, W -> [B, H/2, W/2, O].

  Where several pixels of a 2x2 block are equally large (any flat background), they share the gradient evenly, as with
  `jnp.max` over the block; `lax.reduce_window` would give it all to one.
  """
  _check(x, kernel)
  batch, height, width, _ = x.shape
  if height % 2 or width % 2:
    raise ValueError(f"pooling needs an even height and width, got images of {height}x{width}: pad or resize them.")
  if on_cpu():
    pooled = _convolve_pooled(x, kernel)
  elif x.shape[3] < _TENSOR_CORE:
    phases = _plain(_space_to_depth(x), _pooled_kernel(kernel))
    pooled = phases.reshape(batch, height // 2, width // 2, 4, -1).max(-2)
  else:
    pooled = _plain(x, kernel).reshape(batch, height // 2, 2, width // 2, 2, -1).max((2, 4))
  return pooled if bias is None else pooled + bias


def conv_strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution of kernel 4 and stride 2 without padding: x [B, H, W, I], kernel [4, 4, I, O] -> [B, ⌊H/2⌋-1, ⌊W/2⌋-1, O].

  On the CPU as one matrix product: with 2x2 blocks of pixels moved into channels it is a 2x2 convolution of stride 1.
  """
  chex.assert_shape(kernel, (4, 4, x.shape[-1], None))
  if not on_cpu():
    return lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=_LAYOUT)
  inputs, outputs = kernel.shape[2:]
  height, width = x.shape[1] // 2 - 1, x.shape[2] // 2 - 1
  blocks = _space_to_depth(x[:, : 2 * height + 2, : 2 * width + 2])
  patches = [blocks[:, i : i + height, j : j + width] for i in range(2) for j in range(2)]
  taps = kernel.reshape(2, 2, 2, 2, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)  # block row, column, pixel row, column
  return jnp.concatenate(patches, -1) @ taps.reshape(-1, outputs)


def conv_transposed_strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed convolution of stride 2 without padding: x [B, H, W, I], kernel [K, K, I, O] -> [B, 2H-2+K, 2W-2+K, O].

  Pixel (h, w) adds x[h, w] @ kernel[i, j] to (2h + i, 2w + j), as in TensorFlow; jax.lax.conv_transpose wants the kernel
  turned by 180°. On the CPU the four phases of the result are one convolution of stride 1 with a quarter of the taps, and a
  single pixel is a matrix product.
  """
  chex.assert_shape(kernel, (None, kernel.shape[0], x.shape[-1], None))
  (batch, height, width, inputs), (size, _, _, outputs) = x.shape, kernel.shape
  if not on_cpu():
    return lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), "VALID", dimension_numbers=_LAYOUT)
  if height == width == 1:
    return (x.reshape(batch, inputs) @ kernel.transpose(2, 0, 1, 3).reshape(inputs, -1)).reshape(batch, size, size, -1)
  reach = (size + 1) // 4  # of the small convolution, whose side 2·reach + 1 is at least K / 2
  taps = 2 * reach + 1
  kernel = jnp.pad(kernel, ((0, 2 * taps - size), (0, 2 * taps - size), (0, 0), (0, 0)))
  kernel = kernel.reshape(taps, 2, taps, 2, inputs, outputs)[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
  x = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
  y = _depth_to_space(conv_same(x, kernel.reshape(taps, taps, inputs, 4 * outputs)))
  return y[:, : 2 * height - 2 + size, : 2 * width - 2 + size]


def upsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Nearest-neighbour upsampling by 2, then `conv_same`: x [B, H, W, I], kernel [K, K, I, O] -> [B, 2H, 2W, O]."""
  _check(x, kernel)
  return _depth_to_space(conv_same(x, _upsample_kernel(kernel)))


def _check(x: jax.Array, kernel: jax.Array) -> None:
  chex.assert_rank([x, kernel], 4)
  size = kernel.shape[0]
  if size % 2 == 0 or kernel.shape[1] != size or kernel.shape[2] != x.shape[3]:
    raise ValueError(f"kernel {kernel.shape} must be [K, K, {x.shape[3]}, O] with odd K for images {x.shape}.")


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)


@jax.custom_batching.custom_vmap
def _plain_on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`_plain`; vmapped over kernels it would be a grouped convolution, for which XLA's CPU backend has none that is fast."""
  return _plain(x, kernel)


@_plain_on_cpu.def_vmap
def _one_by_one(size: int, batched: list[bool], *arrays: jax.Array) -> tuple[jax.Array, bool]:
  if not batched[1]:  # one kernel for all images
    x, kernel = arrays
    y = _plain_on_cpu(x.reshape(-1, *x.shape[2:]), kernel)
    return y.reshape(*x.shape[:2], *y.shape[1:]), True
  each = ([array[i] if many else array for array, many in zip(arrays, batched, strict=True)] for i in range(size))
  return jnp.stack([_plain_on_cpu(*pair) for pair in each]), True


def _wide(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The plain convolution; with few outputs, two columns at a time: neighbouring pixels already lie side by side."""
  batch, height, width, channels = x.shape
  size, outputs = kernel.shape[0], kernel.shape[3]
  if outputs >= _FEW_CHANNELS or width % 2:
    return _plain_on_cpu(x, kernel)
  taps = jnp.asarray(_taps(size), kernel.dtype)
  paired = jnp.einsum("wtbr,stio->sbriwo", taps, kernel, precision=lax.Precision.HIGHEST)
  paired = paired.reshape(size, taps.shape[2], 2 * channels, 2 * outputs)
  return _plain_on_cpu(x.reshape(batch, height, width // 2, 2 * channels), paired).reshape(
    batch, height, width, outputs
  )


@jax.custom_vjp
def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return _wide(x, kernel)


def _convolve_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _wide(x, kernel), (x, kernel)


def _convolve_backward(saved: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  size = kernel.shape[0]
  rows = (x.shape[1] * x.shape[2]) * size * max(x.shape[3], dy.shape[3])
  _, total = over_chunks(lambda x, dy: ((), _kernel_gradient(x, dy, size)), chunk_size(rows), x, dy)
  return _wide(dy, _turned(kernel)), total.astype(kernel.dtype)


_convolve.defvjp(_convolve_forward, _convolve_backward)


@jax.custom_vjp
def _convolve_pooled(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_same_pooled` without a bias, of a few images at a time: what is larger than its result never leaves the cache."""
  return _pooled_forward(x, kernel)[0]


def _pooled_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  folded = _pooled_kernel(kernel)

  def forward(x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple[()]]:
    return _max_of_phases(_wide(_space_to_depth(x), folded)), ()

  (largest, where), _ = over_chunks(forward, _pooled_chunk(x, kernel), x)
  return largest, (x, kernel, where)


def _pooled_backward(saved: tuple[jax.Array, ...], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel, where = saved
  folded, unfold = jax.vjp(_pooled_kernel, kernel)
  turned = _turned(folded)

  def backward(x: jax.Array, where: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    phases = lax.optimization_barrier(_to_largest(where, dy))
    dx = _depth_to_space(_wide(phases, turned))
    return dx, _kernel_gradient(_space_to_depth(x), phases, folded.shape[0])

  dx, total = over_chunks(backward, _pooled_chunk(x, kernel), x, where, dy)
  return dx, unfold(total.astype(folded.dtype))[0]


_convolve_pooled.defvjp(_pooled_forward, _pooled_backward)


def _pooled_chunk(x: jax.Array, kernel: jax.Array) -> int:
  return chunk_size(x.shape[1] * x.shape[2] * max(kernel.shape[2:]))


def _turned(kernel: jax.Array) -> jax.Array:
  """The kernel whose convolution takes the gradient of a convolution's result to that of its images."""
  return kernel[::-1, ::-1].swapaxes(2, 3)


def _kernel_gradient(x: jax.Array, dy: jax.Array, size: int) -> jax.Array:
  """Gradient [K, K, I, O] in float32 of sum(dy * conv_same(x, kernel)): one matrix product.

  A pixel's neighbours along W are put beside it in x, and those along H in dy, so that a row of the one and a row of the other
  meet in all K x K ways, at the cost of K copies each in place of K x K of either.
  """
  (_, height, width, inputs), outputs = x.shape, dy.shape[-1]
  pad = size // 2
  x = jnp.pad(x, ((0, 0), (0, 0), (pad, pad), (0, 0)))
  dy = jnp.pad(dy, ((0, 0), (pad, pad), (0, 0), (0, 0)))
  # Without the barriers XLA would compute the copies again inside the product.
  beside = lax.optimization_barrier(jnp.concatenate([x[:, :, i : i + width] for i in range(size)], -1))
  above = lax.optimization_barrier(jnp.concatenate([dy[:, i : i + height] for i in range(size)], -1))
  product = lax.dot_general(
    beside.reshape(-1, size * inputs),
    above.reshape(-1, size * outputs),
    (((0,), (0,)), ((), ())),
    preferred_element_type=jnp.float32,
  )
  return product.reshape(size, inputs, size, outputs).transpose(2, 0, 1, 3)[::-1]


def _max_of_phases(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """[B, H, W, 4·O] -> the largest of the four phases [B, H, W, O], and as bits of a byte, which ones were as large."""
  phases = jnp.split(x, 4, -1)
  largest = jnp.maximum(jnp.maximum(phases[0], phases[1]), jnp.maximum(phases[2], phases[3]))
  first, *others = ((phase == largest).astype(jnp.uint8) << i for i, phase in enumerate(phases))
  return largest, sum(others, first)


def _to_largest(where: jax.Array, dy: jax.Array) -> jax.Array:
  """The gradient of `_max_of_phases`: dy [B, H, W, O], shared evenly by the phases named in `where` -> [B, H, W, 4·O]."""
  count = sum(((where >> i) & 1 for i in range(1, 4)), where & 1)
  bits = jnp.repeat(jnp.asarray([1, 2, 4, 8], jnp.uint8), dy.shape[-1])
  chosen = (jnp.tile(where, 4) & bits) != 0
  return jnp.where(chosen, jnp.tile(dy / count.astype(dy.dtype), 4), 0)


def _space_to_depth(x: jax.Array) -> jax.Array:
  """[B, H, W, C] -> [B, H/2, W/2, 4·C], channels ordered (row phase, column phase, C)."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4 * channels)


def _depth_to_space(x: jax.Array) -> jax.Array:
  """The inverse of `_space_to_depth`."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height, width, 2, 2, channels // 4)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)


def _taps(size: int) -> np.ndarray:
  """[2, K, 2R+1, 2], one where output phase p sees through tap t the input block o - R at its phase q."""
  radius, reach = size // 2, (size // 2 + 1) // 2
  taps = np.zeros((2, size, 2 * reach + 1, 2), np.float32)
  for phase in range(2):
    for tap in range(size):
      offset, inner = divmod(phase + tap - radius, 2)
      taps[phase, tap, offset + reach, inner] = 1
  return taps


def _pooled_kernel(kernel: jax.Array) -> jax.Array:
  """[K, K, I, O] -> [2R+1, 2R+1, 4·I, 4·O], for images and results in the order of `_space_to_depth`."""
  taps = jnp.asarray(_taps(kernel.shape[0]), kernel.dtype)
  folded = jnp.einsum("hsaq,wtbr,stio->abqrihwo", taps, taps, kernel, precision=lax.Precision.HIGHEST)
  return folded.reshape(*folded.shape[:2], 4 * kernel.shape[2], 4 * kernel.shape[3])


def _upsample_kernel(kernel: jax.Array) -> jax.Array:
  """[K, K, I, O] -> [2R+1, 2R+1, I, 4·O]: taps that see the same pixel of the small image are added."""
  taps = jnp.asarray(_taps(kernel.shape[0]).sum(-1), kernel.dtype)
  folded = jnp.einsum("hsa,wtb,stio->abihwo", taps, taps, kernel, precision=lax.Precision.HIGHEST)
  return folded.reshape(*folded.shape[:2], kernel.shape[2], 4 * kernel.shape[3])
