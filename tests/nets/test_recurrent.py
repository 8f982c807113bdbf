import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.recurrent import BlockGRU
from tests import plain

DETER, HIDDEN, STOCH, ACTION, BLOCKS = 12, 5, 6, 3, 4


def build():
  return BlockGRU(DETER, HIDDEN, STOCH, ACTION, BLOCKS, dtype=jnp.float32, rngs=nnx.Rngs(0))


def step(cell, deter, stoch, action):
  return cell(deter, stoch, cell.project_action(action))


@pytest.fixture
def cell():
  return plain.randomised(build)


@pytest.fixture
def inputs():
  rng = np.random.default_rng(1)
  return tuple(rng.normal(size=(7, size)).astype(np.float32) * 2 for size in (DETER, STOCH, ACTION))


def test_equals_the_concatenated_formulation(cell, inputs):
  cell, params = cell
  deter, stoch, action = inputs
  np.testing.assert_allclose(
    plain.call(cell, step, *inputs), plain.gru(params, deter, stoch, action, BLOCKS), rtol=1e-4, atol=1e-5
  )


def test_actions_beyond_one_count_as_one(cell):
  cell, _ = cell
  np.testing.assert_allclose(
    cell.project_action(jnp.array([3.0, -0.5, -7.0])), cell.project_action(jnp.array([1.0, -0.5, -1.0])), rtol=1e-6
  )


def test_the_state_moves_slowly_while_untrained(inputs):
  deter = 100 * inputs[0]  # so far from what candidates reach that the share kept shows
  kept = plain.call(build(), step, deter, *inputs[1:]) / deter
  assert 0.6 < np.median(kept) < 0.85  # 1 - sigmoid(-1) is 0.73
