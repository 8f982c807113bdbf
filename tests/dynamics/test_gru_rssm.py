import json

import jax
import numpy as np
import pytest

from dreamerax.config import from_dict, to_dict
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.gru_rssm import GruRSSM
from dreamerax.dynamics.stochastic import Categorical, Deterministic, Gaussian
from dreamerax.nets.gru import LayerNormGRU, ResetAfterGRU
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

PLANET = GruRSSM(deter=8, hidden=6, stochastic=Gaussian(dims=4))
V1 = GruRSSM(deter=8, hidden=6, activation="elu", cell=ResetAfterGRU(), stochastic=Gaussian(dims=4))
V2 = GruRSSM(deter=8, hidden=6, activation="elu", cell=LayerNormGRU(), stochastic=Categorical(3, 4, unimix=0))


class TestPlanet(DynamicsContract):
  def make(self):
    return PLANET


class TestDreamerV1(DynamicsContract):
  def make(self):
    return V1


class TestDreamerV2(DynamicsContract):
  def make(self):
    return V2


class TestDeterministic(DynamicsContract):
  def make(self):
    return GruRSSM(deter=8, hidden=6, stochastic=Deterministic(dims=4))


def relu(x):
  return np.where(x > 0, x, 0)


def elu(x):
  return np.where(x > 0, x, np.exp(x) - 1)


@pytest.mark.parametrize(
  ("config", "activation", "cell"),
  [(PLANET, relu, plain.reset_before_gru), (V1, elu, plain.reset_after_gru), (V2, elu, plain.layer_norm_gru)],
  ids=["planet", "v1", "v2"],
)
def test_one_step_equals_numpy(config, activation, cell):
  dynamics, params = plain.randomised(lambda: contract.build(config))
  start = contract.latent(dynamics)
  action, embed, _ = (x[:, 0] for x in contract.inputs())
  action = 3 * action  # not scaled down, as DreamerV3 does
  never = np.zeros(contract.BATCH, bool)
  seen, posterior = plain.call(dynamics, type(dynamics).observe_step, start, action, embed, never, jax.random.key(0))
  prior = plain.call(dynamics, type(dynamics).prior, seen)

  def two_layers(name, x):
    return plain.linear(params[f"{name}_out"], activation(plain.linear(params[f"{name}_in"], x)))

  hidden = activation(plain.linear(params["cell_in"], np.concatenate([start["stoch"], action], -1)))
  deter = cell(params["cell"], hidden, start["deter"])
  np.testing.assert_allclose(seen["deter"], deter, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(prior, two_layers("prior", deter), rtol=1e-4, atol=1e-5)
  expected = two_layers("posterior", np.concatenate([deter, embed], -1))
  np.testing.assert_allclose(posterior, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [PLANET, V1, V2], ids=["planet", "v1", "v2"])
def test_configurations_survive_json(config):
  assert from_dict(Dynamics, json.loads(json.dumps(to_dict(config)))) == config


def test_sizes_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match="deter=0 must be at least 1"):
    GruRSSM(deter=0)
