"""The latent of Embed to Control: its contract, and its prior's covariance and divergence against dense algebra."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.config import from_dict, to_dict
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.propagated import Propagated
from dreamerax.dynamics.stochastic import FactoredGaussian
from dreamerax.dynamics.transitions import LocallyLinear
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

N = 3
CONFIG = Propagated(LocallyLinear(rank=1, layers=1, units=5), FactoredGaussian(dims=N), layers=1, units=6)


class TestPropagated(DynamicsContract):
  def make(self):
    return CONFIG


@pytest.fixture(scope="module")
def observed():
  """The module, its parameters, and posteriors and priors of random steps without a beginning among them."""
  dynamics, params = plain.randomised(lambda: contract.build(CONFIG))
  action, embed, first = contract.inputs()
  first[:] = False
  seen, posterior = plain.call(
    dynamics, contract.observe, contract.latent(dynamics), (action, embed, first), jax.random.key(0)
  )
  return dynamics, params, seen, posterior, (action, embed)


def dense(params, z, u):
  """v, r, B and o at z, in float64."""
  net = params["transition"]
  hidden = plain.plain_mlp(net["mlp"], np.float64(z), plain.relu)
  v, r = plain.linear(net["factors"], hidden).reshape(2, N)
  return v, r, plain.linear(net["control"], hidden).reshape(N, 2) @ u + plain.linear(net["offset"], hidden)


def encoded(params, embed):
  hidden = plain.plain_mlp(params["mlp"], np.float64(embed), plain.relu)
  mean, log_std = np.split(plain.linear(params["out"], hidden), 2)
  return mean, np.exp(log_std)


def test_a_prior_is_the_posterior_before_it_moved_by_the_local_model(observed):
  dynamics, params, seen, _, (action, embed) = observed
  for b in range(contract.BATCH):
    for t in range(1, contract.LENGTH):
      mean, std = encoded(params, embed[b, t - 1])
      v, r, rest = dense(params, seen["stoch"][b, t - 1], action[b, t])
      move = np.eye(N) + np.outer(v, r)
      got_mean, got_factor = dynamics.stochastic.mean_and_factor(seen["prior"][b, t])
      np.testing.assert_allclose(got_mean, move @ mean + rest, rtol=1e-3, atol=1e-4)
      expected = move @ np.diag(std**2) @ move.T
      np.testing.assert_allclose(got_factor @ got_factor.T, expected, rtol=1e-3, atol=1e-4)


def test_the_divergence_of_the_prior_from_the_posterior_is_the_closed_form_of_rank_one(observed):
  """KL(N(A m0 + B u + o, A diag(s0²) A^T) ‖ N(m1, diag(s1²))), with |1 + r v| whatever its sign."""
  dynamics, params, seen, posterior, (action, embed) = observed
  got, signs = dynamics.kl(dynamics.prior(seen), posterior), set()
  for b in range(contract.BATCH):
    for t in range(1, contract.LENGTH):
      mean, std = encoded(params, embed[b, t - 1])
      after, spread = encoded(params, embed[b, t])
      v, r, rest = dense(params, seen["stoch"][b, t - 1], action[b, t])
      moved = mean + v * (r @ mean) + rest
      squares = (std**2 * (1 + 2 * v * r) / spread**2).sum() + (v**2 / spread**2).sum() * (r**2 * std**2).sum()
      squares += ((after - moved) ** 2 / spread**2).sum() - N
      expected = 0.5 * (squares + 2 * np.log(spread).sum() - 2 * np.log(std).sum() - 2 * np.log(abs(1 + r @ v)))
      assert got[b, t] == pytest.approx(expected, rel=2e-3, abs=1e-3)
      signs.add(bool(1 + r @ v > 0))
  assert True in signs


def test_two_imagined_steps_multiply_both_matrices(observed):
  dynamics, params, seen, _, (action, embed) = observed
  start = jax.tree.map(lambda x: x[:, 0], seen)
  first = plain.call(dynamics, lambda d, *args: d.imagine_step(*args), start, action[:, 1], jax.random.key(1))
  second = plain.call(dynamics, lambda d, *args: d.imagine_step(*args), first, action[:, 2], jax.random.key(2))
  for b in range(contract.BATCH):
    _, std = encoded(params, embed[b, 0])
    moves = []
    for latent, u in ((start, action[b, 1]), (first, action[b, 2])):
      v, r, _ = dense(params, latent["stoch"][b], u)
      moves.append(np.eye(N) + np.outer(v, r))
    both = moves[1] @ moves[0]
    _, factor = dynamics.stochastic.mean_and_factor(second["belief"][b])
    np.testing.assert_allclose(factor @ factor.T, both @ np.diag(std**2) @ both.T, rtol=2e-3, atol=1e-3)


def test_the_mean_step_moves_the_mean_and_draws_nothing(observed):
  dynamics, params, seen, _, (action, _) = observed
  start = jax.tree.map(lambda x: x[:, 0], seen)
  got = plain.call(dynamics, lambda d, *args: d.expect_step(*args), start, action[:, 1])
  mean, _ = dynamics.stochastic.mean_and_factor(got["belief"])
  np.testing.assert_array_equal(got["stoch"], mean)
  v, r, rest = dense(params, start["stoch"][0], action[0, 1])
  before = np.float64(start["belief"][0, :N])
  np.testing.assert_allclose(got["stoch"][0], before + v * (r @ before) + rest, rtol=1e-3, atol=1e-4)


def test_its_configuration_survives_json_and_is_checked():
  assert from_dict(Dynamics, json.loads(json.dumps(to_dict(CONFIG)))) == CONFIG
  with pytest.raises(ValueError, match="units=0 must be at least 1"):
    Propagated(units=0)
  assert jnp.isfinite(contract.build(CONFIG).initial(2)["belief"]).all()
