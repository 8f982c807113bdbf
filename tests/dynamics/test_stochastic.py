import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.dynamics.stochastic import Categorical, Deterministic, FactoredGaussian, Gaussian


def test_points_are_compared_by_half_the_squared_distance():
  stochastic = Deterministic(dims=3)
  one, other = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[0.0, 1.0, 0.5]])
  np.testing.assert_allclose(stochastic.kl(one, other), [0.5 * (1 + 9)], rtol=1e-6)
  np.testing.assert_array_equal(stochastic.entropy(one), [0])


def test_a_point_is_its_own_sample_and_passes_the_gradient():
  stochastic = Deterministic(dims=3)
  stats = jnp.array([1.0, -2.0, 0.5])
  for seed in range(2):
    np.testing.assert_array_equal(stochastic.sample(stats, jax.random.key(seed)), stats)
  slope = jax.grad(lambda x: (stochastic.sample(x, jax.random.key(0)) * jnp.arange(3.0)).sum())(stats)
  np.testing.assert_array_equal(slope, [0, 1, 2])
  with pytest.raises(ValueError, match="dims=0 must be at least 1"):
    Deterministic(dims=0)


@pytest.mark.parametrize(
  ("stochastic", "stats", "expected"),
  [
    (Deterministic(dims=2), [0.5, -2.0], [0.5, -2.0]),
    (Gaussian(dims=2, min_std=0.1), [0.5, -2.0, 1.0, -40.0], [0.5, -2.0, 1.4132617, 0.1]),
    # softmax of 0 and log 3 is 1/4 and 3/4; half of it and half of 1/2 each
    (Categorical(2, 2, unimix=0.5), [0.0, np.log(3), 0.0, 0.0], [0.375, 0.625, 0.5, 0.5]),
    (FactoredGaussian(dims=2), [0.5, -2.0, 0.0, 1.0, -3.0, 0.5], [0.5, -2.0, 1.0, 1.0, -3.0, 1.5]),
  ],
  ids=["deterministic", "gaussian", "categorical", "factored"],
)
def test_parameters_are_those_of_the_distribution(stochastic, stats, expected):
  np.testing.assert_allclose(stochastic.parameters(jnp.array([stats])), [expected], rtol=1e-5)


def test_statistics_of_zeros_are_the_standard_gaussian_and_a_factor_is_moved_by_a_product():
  stochastic, rng = FactoredGaussian(dims=3), np.random.default_rng(0)
  nothing = jnp.zeros(stochastic.stats_size)
  mean, factor = stochastic.mean_and_factor(nothing)
  np.testing.assert_array_equal(mean, np.zeros(3))
  np.testing.assert_array_equal(factor, np.eye(3))
  mean, factor, move = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
  moved = stochastic.stats(jnp.asarray(move @ mean), jnp.asarray(move @ factor))
  samples = jax.vmap(lambda key: stochastic.sample(moved, key))(jax.random.split(jax.random.key(0), 20000))
  np.testing.assert_allclose(np.cov(samples.T), move @ factor @ factor.T @ move.T, rtol=0.1, atol=0.15)
  back = stochastic.mean_and_factor(moved)
  np.testing.assert_allclose(back[1], move @ factor, rtol=1e-5, atol=1e-6)
