import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.dynamics.rssm import RSSM
from dreamerax.dynamics.stochastic import Categorical, Gaussian
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract


def config(stochastic):
  return RSSM(deter=8, hidden=6, blocks=2, stochastic=stochastic)


class TestCategorical(DynamicsContract):
  def make(self):
    return config(Categorical(groups=3, classes=4))


class TestGaussian(DynamicsContract):
  def make(self):
    return config(Gaussian(dims=4))


@pytest.mark.parametrize(
  "stochastic", [Categorical(groups=3, classes=4), Gaussian(dims=4)], ids=["categorical", "gaussian"]
)
def test_one_step_equals_numpy(stochastic):
  dynamics, params = plain.randomised(lambda: contract.build(config(stochastic)))
  start = contract.latent(dynamics)
  action, embed, _ = (x[:, 0] for x in contract.inputs())
  never = np.zeros(contract.BATCH, bool)
  seen, posterior = plain.call(dynamics, type(dynamics).observe_step, start, action, embed, never, jax.random.key(0))
  prior = plain.call(dynamics, type(dynamics).prior, seen)

  deter = plain.gru(params["cell"], start["deter"], start["stoch"], action, 2)
  hidden = plain.linear(params["posterior_in"], np.concatenate([deter, embed], -1))
  expected = plain.linear(params["posterior_out"], plain.norm_silu(params["posterior_norm"], hidden))
  np.testing.assert_allclose(seen["deter"], deter, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(posterior, expected, rtol=1e-4, atol=1e-5)
  expected = plain.linear(params["prior_out"], plain.mlp(params["prior_mlp"], deter))
  np.testing.assert_allclose(prior, expected, rtol=1e-4, atol=1e-5)


def test_categorical_samples_are_one_hot_per_group_and_stored_in_a_byte_each():
  stochastic = Categorical(groups=3, classes=4)
  stats = jnp.asarray(np.random.default_rng(0).normal(size=(5, 12)) * 9)
  sample = stochastic.sample(stats, jax.random.key(0)).reshape(5, 3, 4)
  np.testing.assert_allclose(np.sort(sample, -1), np.broadcast_to([0, 0, 0, 1], (5, 3, 4)), atol=1e-6)
  assert stochastic.stored_spec.nbytes == 3


def test_gaussian_deviation_is_softplus_above_the_least():
  stats = jnp.array([0.5, -2.0, 1.0, -40.0])
  dist = Gaussian(dims=2, min_std=0.1).distribution(stats)
  std = np.log1p(np.exp([1.0, -40.0])) + 0.1
  np.testing.assert_allclose(dist.entropy(), (0.5 * np.log(2 * np.pi * np.e * std**2)).sum(), rtol=1e-5)
  np.testing.assert_allclose(dist.mode(), [0.5, -2.0])


def test_what_cannot_be_built_or_stored_is_named():
  with pytest.raises(ValueError, match="deter=10 must be a multiple of blocks=8"):
    RSSM(deter=10)
  with pytest.raises(ValueError, match="classes=300 exceeds 256"):
    Categorical(classes=300)
