"""The posterior that sees one observation: its contract, its transitions, and the deterministic objective against loops."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.config import from_dict, to_dict
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.embedding import Embedded
from dreamerax.dynamics.stochastic import Categorical, Deterministic, Gaussian
from dreamerax.dynamics.transitions import ActionMatrix, LocallyLinear, Residual
from dreamerax.world_model.objectives.kl import PlainKL
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

POINT = Embedded(Residual(layers=0), Deterministic(dims=3), layers=0)


class TestResidual(DynamicsContract):
  def make(self):
    return Embedded(Residual(layers=1, units=5), Gaussian(dims=4), layers=1, units=6)


class TestLocallyLinear(DynamicsContract):
  def make(self):
    return Embedded(LocallyLinear(rank=2, layers=1, units=5, activation="elu"), Gaussian(dims=4), layers=0)


class TestActionMatrix(DynamicsContract):
  def make(self):
    return Embedded(ActionMatrix(layers=1, units=5), Gaussian(dims=4), layers=0)


class TestDeterministic(DynamicsContract):
  def make(self):
    return POINT


def test_a_posterior_sees_its_observation_alone():
  dynamics, _ = plain.randomised(lambda: contract.build(TestResidual().make()))
  action, embed, first = contract.inputs()
  _, stats = plain.call(
    dynamics, contract.observe, contract.latent(dynamics), (action, embed, first), jax.random.key(0)
  )
  other = np.array(embed)
  other[:, :2] += 1
  changed = (-action, other, first)
  _, again = plain.call(dynamics, contract.observe, contract.latent(dynamics, 1), changed, jax.random.key(0))
  np.testing.assert_array_equal(stats[:, 2:], again[:, 2:])
  assert (stats[:, :2] != again[:, :2]).any()


def test_a_locally_linear_step_equals_numpy():
  """A(z) z + B(z) u + o(z) by dense matrices."""
  state, action, rank = 4, 2, 2
  build = LocallyLinear(rank=rank, layers=1, units=5).build
  module, params = plain.randomised(lambda: build(state, action, 2 * state, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  rng = np.random.default_rng(1)
  z, u = rng.normal(size=(3, state)).astype(np.float32), rng.normal(size=(3, action)).astype(np.float32)
  stats = plain.call(module, lambda m, *args: m(*args), z, u)
  for row in range(3):
    hidden = plain.plain_mlp(params["mlp"], z[row], plain.relu)
    left, right = plain.linear(params["factors"], hidden).reshape(2, rank, state)
    dense = np.eye(state) + left.T @ right
    control = plain.linear(params["control"], hidden).reshape(state, action)
    offset = plain.linear(params["offset"], hidden)
    np.testing.assert_allclose(
      stats[row, :state], dense @ z[row] + control @ u[row] + offset[:state], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(stats[row, state:], offset[state:], rtol=1e-4, atol=1e-5)


def test_an_action_matrix_turns_the_state():
  state, action = 3, 2
  build = ActionMatrix(layers=1, units=5).build
  module, params = plain.randomised(lambda: build(state, action, 2 * state, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  z, u = np.array([0.3, -0.2, 1.0]), np.array([0.5, -1.0])
  out = plain.linear(params["out"], plain.plain_mlp(params["mlp"], np.concatenate([z, u]), plain.relu))
  expected = [sum(np.tanh(out[3 * i + j]) / np.sqrt(3) * z[j] for j in range(3)) for i in range(3)]
  found = plain.call(module, lambda m, *args: m(*args), jnp.asarray(z, jnp.float32), jnp.asarray(u, jnp.float32))
  np.testing.assert_allclose(found, [*expected, *out[9:]], rtol=1e-5)


def test_a_residual_step_without_layers_is_linear():
  build = Residual(layers=0).build
  module, params = plain.randomised(lambda: build(3, 2, 3, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  z, u = np.array([0.3, -0.2, 1.0]), np.array([0.5, -1.0])
  expected = z + plain.linear(params["out"], np.concatenate([z, u]))
  np.testing.assert_allclose(module(jnp.asarray(z, jnp.float32), jnp.asarray(u, jnp.float32)), expected, rtol=1e-5)


def test_the_deterministic_objective_and_its_gradients_equal_loops():
  """Half the squared distance between g(o_t+1) and f(g(o_t), a); the gradient reaches both embeddings."""
  dynamics, params = plain.randomised(lambda: contract.build(POINT))
  action, embed, first = contract.inputs()
  first[:, 0] = True

  def loss(dynamics, embed):
    seen, posterior = contract.observe(
      dynamics, dynamics.initial(contract.BATCH), (action, embed, first), jax.random.key(0)
    )
    return PlainKL().losses(dynamics.kl, posterior, dynamics.prior(seen))["kl"].sum()

  value, gradient = plain.call(dynamics, lambda d, x: jax.value_and_grad(lambda x: loss(d, x))(x), jnp.asarray(embed))
  look, step = params["out"], params["transition"]["out"]
  moves = np.eye(3) + step["kernel"][:3].T  # of one state into the next
  expected, into = 0.0, np.zeros(embed.shape)
  for b in range(contract.BATCH):
    for t in range(contract.LENGTH):
      z = plain.linear(look, np.float64(embed[b, t]))
      start = first[b, t]
      before = np.zeros(3) if start else plain.linear(look, np.float64(embed[b, t - 1]))
      taken = np.zeros(2) if start else np.float64(action[b, t])
      gap = z - (moves @ before + step["kernel"][3:].T @ taken + step["bias"])
      expected += 0.5 * (gap**2).sum()
      into[b, t] += look["kernel"] @ gap
      if not start:
        into[b, t - 1] -= look["kernel"] @ (moves.T @ gap)
  assert value == pytest.approx(expected, rel=1e-4)
  np.testing.assert_allclose(gradient, into, rtol=1e-3, atol=1e-4)


def test_its_configuration_survives_json_and_is_checked():
  config = Embedded(LocallyLinear(rank=2), Gaussian(dims=3))
  assert from_dict(Dynamics, json.loads(json.dumps(to_dict(config)))) == config
  with pytest.raises(ValueError, match="has classes, which no transition moves: choose Gaussian or Deterministic"):
    Embedded(stochastic=Categorical())
  with pytest.raises(ValueError, match="rank=0 must be at least 1"):
    LocallyLinear(rank=0)
  with pytest.raises(ValueError, match="layers=-1 must be at least 0"):
    Residual(layers=-1)
