import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.gru import LayerNormGRU, ResetAfterGRU, ResetBeforeGRU
from dreamerax.nets.modules import params_of, with_params
from tests import plain

INPUTS, DETER = 4, 5


def build(config, inputs=INPUTS, deter=DETER):
  return config.build(inputs, deter, dtype=jnp.float32, rngs=nnx.Rngs(0))


def step(cell, inputs, deter):
  return cell(deter, cell.project_input(inputs))


def zeros(config, inputs=1, deter=1):
  """The cell, and its parameters with every kernel zero and everything else as it starts."""
  cell = build(config, inputs, deter)
  params = jax.tree.map(np.array, params_of(cell))
  for layer in params.values():
    if "kernel" in layer:
      layer["kernel"][...] = 0
  return cell, params


@pytest.mark.parametrize(
  ("config", "expected"),
  [
    (ResetBeforeGRU(), plain.reset_before_gru),
    (ResetAfterGRU(), plain.reset_after_gru),
    (LayerNormGRU(), plain.layer_norm_gru),
  ],
  ids=["planet", "v1", "v2"],
)
def test_one_step_equals_numpy(config, expected):
  cell, params = plain.randomised(lambda: build(config))
  rng = np.random.default_rng(1)
  inputs, deter = (rng.normal(size=(7, size)).astype(np.float32) * 2 for size in (INPUTS, DETER))
  np.testing.assert_allclose(
    plain.call(cell, step, inputs, deter), expected(params, inputs, deter), rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize(
  ("config", "kept"),
  # sigmoid(1), sigmoid(0) and 1 - sigmoid(-1): biases, and which share of the gate the old state gets.
  [(ResetBeforeGRU(), 0.7310586), (ResetAfterGRU(), 0.5), (LayerNormGRU(), 0.7310586)],
  ids=["planet", "v1", "v2"],
)
def test_without_kernels_the_state_decays_by_the_initial_update_gate(config, kept):
  cell, params = zeros(config)
  after = step(with_params(cell, params), jnp.array([[3.0]]), jnp.array([[-0.8]]))
  np.testing.assert_allclose(after, [[-0.8 * kept]], rtol=1e-5)


SWAP = [[0, 1], [1, 0]]
OPEN, SHUT = 50, -50


def test_planets_reset_acts_before_the_matrix_product():
  cell, params = zeros(ResetBeforeGRU(), deter=2)
  params["gates"]["bias"][...] = [OPEN, SHUT, SHUT, SHUT]  # reset: the first unit is seen; update: nothing is kept
  params["candidate"]["kernel"][:2] = SWAP
  after = step(with_params(cell, params), jnp.zeros((1, 1)), jnp.array([[0.3, 0.5]]))
  np.testing.assert_allclose(after, np.tanh([[0, 0.3]]), atol=1e-6)


def test_v1s_reset_acts_after_the_matrix_product_and_on_its_bias():
  cell, params = zeros(ResetAfterGRU(), deter=2)
  params["inputs"]["bias"][...] = [SHUT, SHUT, OPEN, SHUT, 0, 0.1]
  params["recurrent"]["kernel"][:, 4:] = SWAP
  params["recurrent"]["bias"][4:] = 0.2
  after = step(with_params(cell, params), jnp.zeros((1, 1)), jnp.array([[0.3, 0.5]]))
  np.testing.assert_allclose(after, np.tanh([[0.5 + 0.2, 0.1]]), atol=1e-6)


def test_v2s_gates_are_normalised_together():
  cell, params = zeros(LayerNormGRU())
  params["gates"]["bias"][...] = [1, 2, 3]  # mean 2, variance 2/3: normalised to -1.2238, 0, 1.2238
  params["norm"]["bias"][...] = [0, 0.5, 0]
  after = step(with_params(cell, params), jnp.zeros((1, 1)), jnp.array([[0.4]]))
  # reset 0.22728, candidate tanh(0.11364) = 0.11315, update sigmoid(0.2238) = 0.55572
  np.testing.assert_allclose(after, [[0.55572 * 0.11315 + 0.44428 * 0.4]], rtol=1e-3)


def test_kernels_and_biases_start_as_tensorflows():
  before, after, norm = (
    params_of(build(config, 30, 20)) for config in (ResetBeforeGRU(), ResetAfterGRU(), LayerNormGRU())
  )
  # Glorot's range is that of TensorFlow's matrices: one for both gates, and inputs apart from the state in Keras.
  fans = [(before["gates"], 90), (before["candidate"], 70), (after["inputs"], 90), (norm["gates"], 110)]
  for layer, fan in fans:
    assert 0.97 < np.abs(layer["kernel"]).max() / np.sqrt(6 / fan) <= 1
  recurrent = np.asarray(after["recurrent"]["kernel"])
  np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(20), atol=1e-5)
  assert (np.asarray(before["gates"]["bias"]) == 1).all() and (np.asarray(norm["norm"]["scale"]) == 1).all()
  for layer in (before["candidate"], after["inputs"], after["recurrent"], norm["gates"], norm["norm"]):
    assert not np.any(layer["bias"])
