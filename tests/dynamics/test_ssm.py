import json

import jax
import numpy as np
import pytest

from dreamerax.config import from_dict, to_dict
from dreamerax.dynamics.base import Dynamics
from dreamerax.dynamics.ssm import SSM
from dreamerax.dynamics.stochastic import Gaussian
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

CONFIG = SSM(hidden=6, stochastic=Gaussian(dims=4, min_std=0.1))


class TestGaussian(DynamicsContract):
  def make(self):
    return CONFIG


def test_one_step_equals_numpy():
  dynamics, params = plain.randomised(lambda: contract.build(CONFIG))
  start = contract.latent(dynamics)
  action, embed, _ = (x[:, 0] for x in contract.inputs())
  never = np.zeros(contract.BATCH, bool)
  seen, posterior = plain.call(dynamics, type(dynamics).observe_step, start, action, embed, never, jax.random.key(0))

  def two_layers(name, *inputs):
    hidden = np.maximum(plain.linear(params[f"{name}_in"], np.concatenate(inputs, -1)), 0)
    return plain.linear(params[f"{name}_out"], hidden)

  prior = two_layers("prior", start["stoch"], action)
  np.testing.assert_allclose(dynamics.prior(seen), prior, rtol=1e-4, atol=1e-5)
  std = np.log(1 + np.exp(prior[:, 4:])) + 0.1  # the posterior reads deviations, not what gives them
  np.testing.assert_allclose(posterior, two_layers("posterior", prior[:, :4], std, embed), rtol=1e-4, atol=1e-5)


def test_nothing_but_the_sample_is_seen_and_remembered():
  dynamics, _ = plain.randomised(lambda: contract.build(CONFIG))
  assert (dynamics.deter_size, dynamics.feature_size) == (0, 4)
  start = contract.latent(dynamics)
  action = contract.inputs()[0][:, 0]
  changed = {**start, "prior": start["prior"] + 1}
  one, other = (
    plain.call(dynamics, type(dynamics).imagine_step, x, action, jax.random.key(0)) for x in (start, changed)
  )
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_its_configuration_survives_json_and_is_checked():
  assert from_dict(Dynamics, json.loads(json.dumps(to_dict(CONFIG)))) == CONFIG
  with pytest.raises(ValueError, match="hidden=0 must be at least 1"):
    SSM(hidden=0)
