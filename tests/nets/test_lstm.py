"""Cells of vectors and of maps, and the convolutions of their gates, against loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.convolutions import Conv, DoublingConv, HalvingConv
from dreamerax.nets.lstm import LSTM, ConvLSTM
from tests import plain


@pytest.mark.parametrize("kind", [Conv, HalvingConv, DoublingConv])
def test_convolutions_equal_their_loops(kind: type):
  sides = {"side": 3} if kind is Conv else {}
  module, params = plain.randomised(lambda: kind(2, 3, **sides, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  x = np.random.default_rng(0).normal(size=(2, 4, 6, 2)).astype(np.float32)
  expected = {
    Conv: lambda: plain.conv_same(params, x),
    HalvingConv: lambda: plain.conv_strided(params, x, 1),
    DoublingConv: lambda: plain.conv_transposed(params, x)[:, 1:-1, 1:-1],
  }[kind]()
  found = plain.call(module, kind.__call__, x)
  assert found.shape == {Conv: (2, 4, 6, 3), HalvingConv: (2, 2, 3, 3), DoublingConv: (2, 8, 12, 3)}[kind]
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_two_steps_of_the_vector_cell_equal_a_loop():
  cell, params = plain.randomised(lambda: LSTM(3, 4, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  memory, x = cell.initial(2), np.random.default_rng(1).normal(size=(2, 2, 3)).astype(np.float32)
  inside, hidden = np.zeros((2, 4)), np.zeros((2, 4))
  for each in x:
    memory = plain.call(cell, LSTM.__call__, memory, each)
    inside, hidden = plain.lstm(inside, plain.linear(params["gates"], np.concatenate([each, hidden], -1)), 0.0)
  np.testing.assert_allclose(memory["cell"], inside, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(memory["hidden"], hidden, rtol=1e-4, atol=1e-5)


def test_two_steps_of_the_map_cell_equal_a_loop():
  cell, params = plain.randomised(lambda: ConvLSTM(2, 3, (4, 5), 3, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  memory, x = cell.initial(2), np.random.default_rng(2).normal(size=(2, 2, 4, 5, 2)).astype(np.float32)
  inside, hidden = np.zeros((2, 4, 5, 3)), np.zeros((2, 4, 5, 3))
  for each in x:
    memory = plain.call(cell, ConvLSTM.__call__, memory, each)
    gates = plain.conv_same(params["gates"], np.concatenate([each, hidden], -1))
    inside, hidden = plain.lstm(inside, gates, 1.0)
  np.testing.assert_allclose(memory["cell"], inside, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(memory["hidden"], hidden, rtol=1e-4, atol=1e-5)
