"""Policies on [-1, 1]: tanh of a Gaussian and the truncated Gaussian, against scipy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dreamerax.ops.distributions import TanhNormal, TruncatedNormal

MEANS = np.array([-1.0, -0.9, -0.3, 0.0, 0.5, 0.99, 1.0])
STDS = np.array([0.1, 0.5, 2.1])
MEAN, STD = (x.reshape(-1, 1) for x in np.meshgrid(MEANS, STDS))  # [21, 1], one action each
ACTIONS = np.array([-1.0, -0.999, -0.2, 0.0, 0.7, 1.0])


def truncated(mean=MEAN, std=STD):
  return TruncatedNormal(jnp.asarray(mean), jnp.asarray(std), -1.0, 1.0)


def scipy_truncated(mean=MEAN, std=STD):
  return stats.truncnorm((-1 - mean) / std, (1 - mean) / std, mean, std)


def test_tanh_density_equals_scipy():
  mean, std = np.array([[0.3, -2.0], [4.0, 0.0]]), np.array([[0.5, 1.0], [2.0, 5.0]])
  action = np.array([[0.9, -0.999], [-0.5, 0.0]])
  expected = stats.norm.logpdf(np.arctanh(action), mean, std) - np.log(1 - action**2)
  got = TanhNormal(jnp.asarray(mean), jnp.asarray(std)).log_prob(jnp.asarray(action))
  np.testing.assert_allclose(got, expected.sum(-1), rtol=1e-4)


def test_tanh_density_at_the_very_end_is_that_of_the_last_number_before_it():
  policy = TanhNormal(jnp.array([3.0]), jnp.array([2.0]))
  last = np.float64(np.nextafter(np.float32(1), np.float32(0)))
  expected = stats.norm.logpdf(np.arctanh(last), 3, 2) - np.log(1 - last**2)
  np.testing.assert_allclose(policy.log_prob(jnp.array([1.0])), expected, rtol=1e-4)
  assert np.isfinite(policy.log_prob(jnp.array([-1.0])))


def test_tanh_samples_are_reparameterised():
  mean, std = jnp.array([0.2, -1.0]), jnp.array([0.5, 1.0])

  def sample(mean, std):
    return TanhNormal(mean, std).sample(seed=jax.random.key(0))

  action = np.asarray(sample(mean, std), np.float64)
  by_mean, by_std = jax.grad(lambda m, s: sample(m, s).sum(), (0, 1))(mean, std)
  slope = 1 - action**2
  np.testing.assert_allclose(by_mean, slope, rtol=1e-4)
  np.testing.assert_allclose(by_std, slope * (np.arctanh(action) - mean) / std, rtol=1e-3)


def test_tanh_mode_and_entropy_come_from_samples_and_do_not_change():
  mean, std = np.array([[0.0], [0.3], [-1.0]]), np.array([[5.0], [0.02], [0.5]])
  policy = TanhNormal(jnp.asarray(mean), jnp.asarray(std))
  mode = policy.mode()
  np.testing.assert_array_equal(mode, policy.mode())
  # Each row's own best of 100: better than nine tenths of others, even at 5 deviations, where the ends are likeliest.
  others = jax.vmap(lambda key: policy.log_prob(policy.sample(seed=key)))(jax.random.split(jax.random.key(1), 500))
  assert (policy.log_prob(mode) >= np.quantile(others, 0.9, 0) - 1e-3).all()
  assert abs(mode[0, 0]) > 0.99
  # The Gaussian's entropy plus what tanh takes off it, integrated over a fine grid.
  z = np.linspace(-8, 8, 20001)
  raw = mean + std * z
  taken = 2 * (np.log(2) - raw - np.logaddexp(0, -2 * raw))
  exact = 0.5 * np.log(2 * np.pi * np.e * std[:, 0] ** 2) + (taken * stats.norm.pdf(z)).sum(-1) * (z[1] - z[0])
  np.testing.assert_allclose(policy.entropy()[1:], exact[1:], atol=0.2)
  assert policy.entropy()[0] == pytest.approx(exact[0], abs=2.0)  # the tails reach far: 0.5 is one deviation of it


def test_tanh_entropy_has_a_gradient_that_widens_a_policy_at_its_end():
  """What a bonus for entropy does: it draws the mean to the middle and a small deviation up."""
  mean, std = jnp.array([1.8, -1.0, 0.0]), jnp.array([0.1, 0.5, 1.0])
  by_mean, by_std = jax.grad(lambda *args: TanhNormal(*args).entropy(), (0, 1))(mean, std)
  z = np.linspace(-8, 8, 20001)[:, None]
  pull = -2 * np.tanh(np.asarray(mean) + np.asarray(std) * z)  # slope of log(1 - tanh²)
  share = stats.norm.pdf(z) * (z[1] - z[0])
  np.testing.assert_allclose(by_mean, (pull * share).sum(0), atol=0.2)
  np.testing.assert_allclose(by_std, 1 / np.asarray(std) + (pull * z * share).sum(0), atol=0.4)


def test_truncated_density_entropy_and_mode_equal_scipy():
  policy, exact = truncated(), scipy_truncated()
  for action in ACTIONS:
    value = np.full_like(MEAN, action)
    np.testing.assert_allclose(policy.log_prob(jnp.asarray(value)), exact.logpdf(value)[:, 0], rtol=1e-3, atol=1e-4)
  assert (policy.log_prob(jnp.full(MEAN.shape, 1.01)) == -np.inf).all()
  np.testing.assert_allclose(policy.entropy(), exact.entropy()[:, 0], rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(policy.mode(), MEAN, rtol=1e-6)


def test_truncated_entropy_and_density_have_finite_gradients_that_are_right():
  def entropy(mean, std):
    return truncated(mean, std).entropy().sum()

  by_mean, by_std = jax.grad(entropy, (0, 1))(jnp.asarray(MEAN, jnp.float32), jnp.asarray(STD, jnp.float32))
  step = 1e-4
  up, down = scipy_truncated(MEAN + step).entropy(), scipy_truncated(MEAN - step).entropy()
  np.testing.assert_allclose(by_mean, (up - down) / (2 * step), rtol=1e-2, atol=1e-2)
  up, down = scipy_truncated(std=STD + step).entropy(), scipy_truncated(std=STD - step).entropy()
  np.testing.assert_allclose(by_std, (up - down) / (2 * step), rtol=1e-2, atol=1e-2)


def test_truncated_samples_follow_the_distribution():
  samples = truncated(np.repeat(MEAN.T, 4000, 0), np.repeat(STD.T, 4000, 0)).sample(seed=jax.random.key(0))
  exact = scipy_truncated(MEAN[:, 0], STD[:, 0])
  np.testing.assert_allclose(samples.mean(0), exact.mean(), atol=0.04)
  np.testing.assert_allclose(samples.std(0), exact.std(), atol=0.03)


def test_truncated_samples_move_as_a_gaussians_do():
  """However near the ends: with the mean one for one, with the deviation by how many deviations they lie from the mean."""
  shape = (len(MEAN), 20)  # twenty draws of each
  mean, std = np.broadcast_to(MEAN, shape), np.broadcast_to(STD, shape)

  def sample(mean, std):
    return truncated(mean, std).sample(seed=jax.random.key(0))

  drawn = np.asarray(sample(mean, std), np.float64)
  by_mean, by_std = jax.grad(lambda m, s: sample(m, s).sum(), (0, 1))(jnp.float32(mean), jnp.float32(std))
  np.testing.assert_array_equal(by_mean, np.ones(shape))
  np.testing.assert_allclose(by_std, (drawn - mean) / std, rtol=1e-4, atol=1e-4)


def test_samples_keep_off_the_ends_and_their_gradient_is_that_of_what_was_drawn():
  """Half of the draws lie within a deviation of the end, the distance that samples keep from it."""
  mean, std = jnp.full(1000, 1.0), jnp.full(1000, 1e-6)

  def sample(mean, std):
    return TruncatedNormal(mean, std, -1.0, 1.0).sample(seed=jax.random.key(0))

  value, (by_mean, by_std) = sample(mean, std), jax.grad(lambda m, s: sample(m, s).sum(), (0, 1))(mean, std)
  nearest = np.float32(1) - np.float32(1e-6)
  kept_off = np.asarray(value) == nearest
  assert np.max(value) == nearest and 500 < kept_off.sum() < 800
  np.testing.assert_array_equal(by_mean, np.ones(1000))
  assert np.min(by_std[kept_off]) > -1.1 and np.max(by_std[kept_off]) > -0.1  # and not all -1, as of what is kept off
  np.testing.assert_allclose(by_std[~kept_off], (value[~kept_off] - 1) / 1e-6, rtol=1e-4)
