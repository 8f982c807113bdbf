"""The rewritten convolutions equal the plain ones: values, both gradients, shards."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dreamerax.ops import convolution
from tests.ops import shards
from tests.plain import conv_transposed

LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain(x, kernel):
  return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def plain_pooled(x, kernel):
  return lax.reduce_window(plain(x, kernel), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def plain_upsampled(x, kernel):
  return plain(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), kernel)


PAIRS = {
  "same": (convolution.conv_same, plain),
  "pooled": (convolution.conv_same_pooled, plain_pooled),
  "upsampled": (convolution.upsample_conv, plain_upsampled),
}
SHAPES = [  # batch, height, width, kernel size, input channels, output channels
  (1, 2, 2, 5, 1, 1),
  (3, 4, 6, 3, 2, 5),
  (5, 8, 8, 7, 3, 4),
  (1, 96, 64, 5, 3, 8),
  (17, 16, 16, 5, 12, 16),
  (1, 128, 128, 5, 3, 32),
]


def arrays(shape, dtype=jnp.float32):
  batch, height, width, size, inputs, outputs = shape
  keys = jax.random.split(jax.random.key(0), 2)
  x = jax.random.normal(keys[0], (batch, height, width, inputs), dtype)
  return x, jax.random.normal(keys[1], (size, size, inputs, outputs), dtype) / size


def with_gradients(function, x, kernel):
  value, pull = jax.vjp(function, x, kernel)
  weights = jnp.sin(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape).astype(value.dtype)
  return value, *pull(weights)


def assert_close(actual, expected, tolerance):
  actual, expected = np.asarray(actual, np.float32), np.asarray(expected, np.float32)
  assert actual.shape == expected.shape
  np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", PAIRS)
def test_values_and_gradients_equal_the_plain_form(form, shape):
  ours, reference = (jax.jit(lambda x, k, f=f: with_gradients(f, x, k)) for f in PAIRS[form])
  for actual, expected in zip(ours(*arrays(shape)), reference(*arrays(shape)), strict=True):
    assert_close(actual, expected, 3e-5)


@pytest.mark.parametrize("inputs", [3, 9])
@pytest.mark.parametrize("form", PAIRS)
def test_the_accelerators_forms_are_equal_too(form, inputs, monkeypatch):
  monkeypatch.setattr(convolution, "on_cpu", lambda: False)
  ours, reference = PAIRS[form]
  x, kernel = arrays((2, 8, 8, 5, inputs, 4))
  for actual, expected in zip(with_gradients(ours, x, kernel), with_gradients(reference, x, kernel), strict=True):
    assert_close(actual, expected, 3e-5)


@pytest.mark.parametrize("form", PAIRS)
def test_bfloat16_stays_near_float32(form):
  ours, reference = (jax.jit(lambda x, k, f=f: with_gradients(f, x, k)) for f in PAIRS[form])
  x, kernel = arrays((2, 8, 8, 5, 3, 4), jnp.bfloat16)
  wide = reference(x.astype(jnp.float32), kernel.astype(jnp.float32))
  for actual, expected in zip(ours(x, kernel), wide, strict=True):
    assert actual.dtype == jnp.bfloat16
    if form == "pooled" and expected is not wide[0]:
      continue  # rounding moves which pixel of a block is the largest
    assert_close(actual, expected, 2e-2)


@pytest.mark.parametrize("form", PAIRS)
def test_several_kernels_at_once_make_no_grouped_convolution(form):
  pairs = [arrays((2, 4, 6, 3, 2, 5)), arrays((2, 4, 6, 3, 2, 5))]
  x, kernel = (jnp.stack([(1 + i) * pair[j] for i, pair in enumerate(pairs)]) for j in range(2))
  rewritten = jax.vmap(lambda x, kernel: with_gradients(PAIRS[form][0], x, kernel))
  for actual, *expected in zip(
    rewritten(x, kernel), *(with_gradients(PAIRS[form][1], *each) for each in zip(x, kernel, strict=True)), strict=True
  ):
    assert_close(actual, jnp.stack(expected), 2e-5)
  # XLA's CPU backend takes several times as long for those.
  text = jax.jit(rewritten).lower(x, kernel).as_text()
  assert "stablehlo.convolution" in text and "feature_group_count = 1 " in text
  assert not re.search(r"(feature|batch)_group_count = ([2-9]|1\d)", text)


@pytest.mark.parametrize("form", PAIRS)
def test_values_equal_numpy_loops(form):
  x, kernel = (np.asarray(a) for a in arrays((1, 4, 4, 5, 2, 3)))
  expected = NUMPY[form](x[0], kernel)
  assert_close(PAIRS[form][0](x, kernel)[0], expected, 1e-5)


def loop_same(x, kernel):
  height, width, radius = x.shape[0], x.shape[1], kernel.shape[0] // 2
  result = np.zeros((height, width, kernel.shape[3]))
  for row, column, i, j in np.ndindex(height, width, *kernel.shape[:2]):
    h, w = row + i - radius, column + j - radius
    if 0 <= h < height and 0 <= w < width:
      result[row, column] += x[h, w].astype(np.float64) @ kernel[i, j]
  return result


def loop_pooled(x, kernel):
  y = loop_same(x, kernel)
  result = np.zeros((y.shape[0] // 2, y.shape[1] // 2, y.shape[2]))
  for row, column in np.ndindex(*result.shape[:2]):
    result[row, column] = y[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max((0, 1))
  return result


def loop_upsampled(x, kernel):
  return loop_same(np.kron(x, np.ones((2, 2, 1))), kernel)


NUMPY = {"same": loop_same, "pooled": loop_pooled, "upsampled": loop_upsampled}


def test_bias_is_added_before_the_maximum():
  x, kernel = arrays((2, 4, 4, 3, 2, 3))
  bias = jnp.array([-1.0, 0.5, 2.0])
  assert_close(convolution.conv_same_pooled(x, kernel, bias), plain_pooled(x, kernel) + bias, 1e-5)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_equal_maxima_share_the_gradient(on_cpu, monkeypatch):
  monkeypatch.setattr(convolution, "on_cpu", lambda: on_cpu)
  x = jnp.array([[2.0, 1.0, 5.0, 5.0], [2.0, 2.0, 5.0, 5.0]])[None, :, :, None]
  gradient = jax.grad(lambda x: convolution.conv_same_pooled(x, jnp.ones((1, 1, 1, 1))).sum())(x)
  np.testing.assert_allclose(gradient[0, :, :, 0], [[1 / 3, 0, 0.25, 0.25], [1 / 3, 1 / 3, 0.25, 0.25]], rtol=1e-6)


@pytest.mark.parametrize(
  "function, shape, kernel, message",
  [
    ("conv_same", (1, 4, 4, 3), (4, 4, 3, 1), "odd K"),
    ("upsample_conv", (1, 4, 4, 3), (5, 5, 2, 1), r"\[K, K, 3, O\]"),
    ("conv_same_pooled", (1, 5, 4, 3), (5, 5, 3, 1), "5x4"),
  ],
)
def test_wrong_shapes_are_named(function, shape, kernel, message):
  with pytest.raises(ValueError, match=message):
    getattr(convolution, function)(jnp.zeros(shape), jnp.zeros(kernel))


TRANSPOSED = [(1, 1, 5), (5, 4, 5), (3, 5, 6), (2, 3, 3), (3, 2, 2)]  # height, width, kernel size


def plain_transposed(x, kernel):
  return lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), "VALID", dimension_numbers=LAYOUT)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize(("height", "width", "size"), TRANSPOSED)
def test_a_transposed_convolution_equals_the_plain_form_with_both_gradients(height, width, size, on_cpu, monkeypatch):
  monkeypatch.setattr(convolution, "on_cpu", lambda: on_cpu)
  x, kernel = arrays((2, height, width, size, 3, 4))
  forms = (convolution.conv_transposed_strided, plain_transposed)
  ours, reference = (jax.jit(lambda x, k, f=f: with_gradients(f, x, k)) for f in forms)
  for actual, expected in zip(ours(x, kernel), reference(x, kernel), strict=True):
    assert_close(actual, expected, 3e-5)


@pytest.mark.parametrize(("height", "width", "size"), TRANSPOSED[:2])
def test_a_transposed_convolution_equals_a_numpy_loop(height, width, size):
  x, kernel = arrays((2, height, width, size, 3, 4))
  expected = conv_transposed({"kernel": np.float64(kernel), "bias": 0.0}, np.float64(x))
  assert_close(convolution.conv_transposed_strided(x, kernel), expected, 1e-5)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from dreamerax.ops import chunks, convolution as c
from tests.ops import shards

chunks._BYTES = 4096  # several steps even for images as small as these

def loss(kernels, x):
  y = c.upsample_conv(c.conv_same_pooled(x, kernels[0]), kernels[1])
  return (c.conv_same(y, kernels[2]) ** 2).mean()

mesh = jax.sharding.Mesh(jax.devices(), ("data",))
keys = jax.random.split(jax.random.key(0), 4)
x = jax.random.normal(keys[0], (48, 8, 8, 3))
kernels = [jax.random.normal(k, s) for k, s in zip(keys[1:], [(5, 5, 3, 4), (5, 5, 4, 3), (3, 3, 3, 3)])]
single = jax.jit(jax.value_and_grad(loss, (0, 1)))(kernels, x)
spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
copies = jax.device_put(kernels, NamedSharding(mesh, PartitionSpec()))
compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(copies, spread).compile()
for a, b in zip(jax.tree.leaves(compiled(copies, spread)), jax.tree.leaves(single)):
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(b).max()))
shards.assert_kept(compiled)
"""


def test_a_sharded_batch_keeps_its_shards():
  shards.run_on_eight_devices(SHARDED)
