"""The Gaussian by a factor of its covariance against dense algebra and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from dreamerax.ops.factored_normal import FactoredNormal

N = 4
RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(2, 3, N))
FACTORS = RNG.normal(size=(2, 3, N, N)) * 0.4 + np.eye(N)


def normal(index):
  return FactoredNormal(jnp.asarray(MEANS[index], jnp.float32), jnp.asarray(FACTORS[index], jnp.float32))


def dense_kl(mean, cov, other_mean, other_cov):
  inverse, gap = np.linalg.inv(other_cov), other_mean - mean
  volumes = np.linalg.slogdet(other_cov)[1] - np.linalg.slogdet(cov)[1]
  return 0.5 * (np.trace(inverse @ cov) + gap @ inverse @ gap - len(mean) + volumes)


def test_the_divergence_equals_dense_algebra_and_is_zero_from_itself():
  got = normal(0).kl_divergence(normal(1))
  covs = FACTORS @ FACTORS.swapaxes(-1, -2)
  for row in range(3):
    assert got[row] == pytest.approx(dense_kl(MEANS[0, row], covs[0, row], MEANS[1, row], covs[1, row]), rel=1e-3)
  np.testing.assert_allclose(normal(0).kl_divergence(normal(0)), 0, atol=1e-5)


def test_a_factor_that_turns_space_inside_out_is_no_nan():
  factor = np.diag([1.0, -0.5, 1, 1])
  one = FactoredNormal(jnp.zeros(N), jnp.asarray(factor))
  other = FactoredNormal(jnp.zeros(N), jnp.eye(N))
  assert one.kl_divergence(other) == pytest.approx(dense_kl(np.zeros(N), factor @ factor.T, np.zeros(N), np.eye(N)))
  gradient = jax.grad(lambda x: FactoredNormal(jnp.zeros(N), x).kl_divergence(other))(jnp.asarray(factor))
  assert np.isfinite(gradient).all()


def test_log_densities_and_entropy_equal_scipy():
  values = RNG.normal(size=(3, N))
  got, entropy = normal(0).log_prob(jnp.asarray(values, jnp.float32)), normal(0).entropy()
  for row in range(3):
    there = multivariate_normal(MEANS[0, row], FACTORS[0, row] @ FACTORS[0, row].T)
    assert got[row] == pytest.approx(there.logpdf(values[row]), rel=1e-3)
    assert entropy[row] == pytest.approx(there.entropy(), rel=1e-4, abs=1e-4)


def test_samples_have_the_mean_and_the_covariance():
  one = FactoredNormal(jnp.broadcast_to(jnp.asarray(MEANS[0, 0]), (20000, N)), jnp.asarray(FACTORS[0, 0]))
  samples = np.asarray(one.sample(seed=jax.random.key(0)))
  np.testing.assert_allclose(samples.mean(0), MEANS[0, 0], atol=0.05)
  np.testing.assert_allclose(np.cov(samples.T), FACTORS[0, 0] @ FACTORS[0, 0].T, atol=0.12)
  np.testing.assert_allclose(one.mean()[0], MEANS[0, 0], rtol=1e-6)
