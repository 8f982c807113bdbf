import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.blocks import MLP, BlockLinear, Linear, NormSilu, PlainMLP, SplitLinear, glorot_uniform
from tests import plain


@pytest.fixture
def x():
  return np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)


def test_block_linear_is_a_dense_block_diagonal_matrix(x):
  layer, params = plain.randomised(lambda: BlockLinear(12, 8, 4, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  np.testing.assert_allclose(
    plain.call(layer, type(layer).__call__, x), plain.block_linear(params, x), rtol=1e-4, atol=1e-5
  )


def test_blocks_that_do_not_divide_are_refused():
  with pytest.raises(ValueError, match="blocks=5 must divide the layer's 12 inputs"):
    BlockLinear(12, 10, 5, dtype=jnp.float32, rngs=nnx.Rngs(0))


def test_a_split_linear_is_the_linear_of_both_inputs(x):
  layer, params = plain.randomised(lambda: SplitLinear(5, 7, 8, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  out = plain.call(layer, lambda layer, x: layer.with_input(x[:, :5], layer.project_input(x[:, 5:])), x)
  np.testing.assert_allclose(out, plain.linear(params, x), rtol=1e-4, atol=1e-5)


def test_norm_silu_and_mlp_equal_numpy(x):
  layer, params = plain.randomised(lambda: NormSilu(12, dtype=jnp.float32))
  np.testing.assert_allclose(
    plain.call(layer, type(layer).__call__, x), plain.norm_silu(params, x), rtol=1e-4, atol=1e-6
  )
  layer, params = plain.randomised(lambda: MLP(12, 7, 3, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  np.testing.assert_allclose(plain.call(layer, type(layer).__call__, x), plain.mlp(params, x), rtol=1e-4, atol=1e-5)


def test_an_mlp_without_layers_passes_its_input(x):
  layer = MLP(12, 7, 0, dtype=jnp.float32, rngs=nnx.Rngs(0))
  np.testing.assert_array_equal(layer(x), x)
  assert layer.output_size == 12


def test_norm_does_not_overflow_on_large_inputs_in_bfloat16():
  out = NormSilu(12, dtype=jnp.bfloat16)(jnp.full((1, 12), 1e15, jnp.bfloat16))
  assert out.dtype == jnp.bfloat16
  np.testing.assert_allclose(np.asarray(out, np.float32), plain.silu(1.0), rtol=1e-2)


@pytest.mark.parametrize(
  ("layer", "fan"),
  [
    (lambda rngs: Linear(400, 200, dtype=jnp.float32, rngs=rngs), 400),
    # The inputs of all blocks count, not those of one.
    (lambda rngs: BlockLinear(400, 800, 8, dtype=jnp.float32, rngs=rngs), 400),
  ],
)
def test_kernels_start_with_the_published_spread_and_biases_at_zero(layer, fan):
  layer = layer(nnx.Rngs(params=1))
  kernel = np.asarray(layer.kernel[...])
  # 1.1368 / sqrt(fan) times a normal truncated at two deviations, which is what a deviation of 1 / sqrt(fan) leaves.
  assert kernel.std() == pytest.approx(fan**-0.5, rel=0.02)
  assert np.abs(kernel).max() <= 2 * 1.1369 * fan**-0.5
  assert kernel.mean() == pytest.approx(0, abs=0.02 * fan**-0.5)
  assert not layer.bias[...].any()


@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_an_mlp_without_normalisation_equals_numpy(x, activation):
  layer, params = plain.randomised(lambda: PlainMLP(12, 7, 3, activation, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  expected = plain.plain_mlp(params, x, getattr(plain, activation))
  np.testing.assert_allclose(plain.call(layer, type(layer).__call__, x), expected, rtol=1e-4, atol=1e-5)
  assert layer.output_size == 7


def test_it_starts_glorot_uniform_as_in_tensorflow():
  mlp = PlainMLP(500, 100, 2, "elu", dtype=jnp.float32, rngs=nnx.Rngs(params=1))
  for layer, fans in zip(mlp.linears.values(), (500 + 100, 100 + 100), strict=True):
    kernel, bound = np.asarray(layer.kernel[...]), np.sqrt(6 / fans)
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert not layer.bias[...].any()


def test_an_initialiser_can_be_given_and_is_scaled_too():
  layer = Linear(30, 20, dtype=jnp.float32, rngs=nnx.Rngs(0), scale=0.1, init=glorot_uniform)
  assert 0.09 * np.sqrt(6 / 50) < np.abs(layer.kernel[...]).max() <= 0.1 * np.sqrt(6 / 50)


@pytest.mark.parametrize("scale", [0.0, 0.01])
def test_the_initial_kernel_can_be_scaled_down(scale):
  full, scaled = (Linear(30, 20, dtype=jnp.float32, rngs=nnx.Rngs(0), scale=s) for s in (1.0, scale))
  np.testing.assert_allclose(scaled.kernel[...], scale * full.kernel[...], rtol=1e-6)


def test_layers_compute_in_their_dtype_and_keep_float32_parameters(x):
  layer = MLP(12, 8, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
  assert jax.eval_shape(layer, x).dtype == jnp.bfloat16
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(nnx.state(layer)))
