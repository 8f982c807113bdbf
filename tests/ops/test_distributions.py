import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.ops import distributions
from dreamerax.ops.distributions import SymexpTwoHot, mix_uniform, symexp_bins, two_hot
from dreamerax.types import ActionSpec


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


@pytest.fixture
def rng():
  return np.random.default_rng(0)


# Two-hot.


def test_bins_are_symexp_of_even_spacing_and_exactly_symmetric():
  bins = np.asarray(symexp_bins(255))
  even = np.linspace(-20, 20, 255)
  np.testing.assert_allclose(bins, np.sign(even) * (np.exp(np.abs(even)) - 1), rtol=2e-5)
  np.testing.assert_array_equal(bins, -bins[::-1])
  assert bins[127] == 0


def test_the_outermost_bins_stand_at_the_limit():
  bins = np.asarray(symexp_bins(63, limit=7.0))
  np.testing.assert_allclose(bins[[0, 62]], [-np.expm1(7), np.expm1(7)], rtol=1e-6)
  np.testing.assert_allclose(np.diff(np.sign(bins) * np.log1p(np.abs(bins))), 14 / 62, rtol=1e-4)
  one_hot = np.where(np.arange(63) == 62, 100.0, 0.0)
  assert SymexpTwoHot(jnp.asarray(one_hot), limit=7.0).mean() == pytest.approx(np.expm1(7))


def test_an_even_number_of_bins_is_refused():
  with pytest.raises(ValueError, match=r"bins=254 is even.*255"):
    symexp_bins(254)


def test_two_hot_puts_weight_on_the_two_neighbours_only_and_gives_the_target_back():
  bins = symexp_bins(41)
  targets = np.array([-3e8, -1e4, -7.3, -1e-3, 0.0, 0.4, 1.0, 999.0, 4.8e8], np.float32)
  weights = np.asarray(two_hot(jnp.asarray(targets), bins), np.float64)
  np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)
  np.testing.assert_allclose(weights @ np.asarray(bins, np.float64), targets, rtol=1e-4, atol=1e-6)
  for target, row in zip(targets, weights, strict=True):
    above = int(np.searchsorted(bins, target, side="right"))
    assert set(np.nonzero(row)[0]) <= {above - 1, above}


@pytest.mark.parametrize("index", [0, 3, 20, 37, 40])
def test_a_target_on_a_bin_is_one_hot(index):
  bins = symexp_bins(41)
  np.testing.assert_array_equal(two_hot(bins[index], bins), np.eye(41)[index])


@pytest.mark.parametrize(("target", "index"), [(-1e12, 0), (1e12, 40)])
def test_targets_beyond_the_bins_go_to_the_last_one(target, index):
  np.testing.assert_array_equal(two_hot(jnp.float32(target), symexp_bins(41)), np.eye(41)[index])


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_uniform_probabilities_mean_exactly_zero(rows):
  logits = jnp.zeros((rows, 255))
  assert not SymexpTwoHot(logits).mean().any()
  assert not jax.jit(lambda x: SymexpTwoHot(x).mean())(logits).any()  # compiled, the terms are fused differently


def test_two_hot_mean_and_log_prob_equal_a_loop(rng):
  logits = rng.normal(size=(6, 15))
  targets = rng.normal(size=6) * 50
  bins = np.asarray(symexp_bins(15), np.float64)
  probs = softmax(logits)
  expected = []
  for target, prob in zip(targets, probs, strict=True):
    above = next(i for i, b in enumerate(bins) if b > target)
    share = (target - bins[above - 1]) / (bins[above] - bins[above - 1])
    expected.append((1 - share) * np.log(prob[above - 1]) + share * np.log(prob[above]))
  dist = SymexpTwoHot(jnp.asarray(logits))
  np.testing.assert_allclose(dist.log_prob(jnp.asarray(targets)), expected, rtol=1e-4)
  np.testing.assert_allclose(dist.mean(), (probs * bins).sum(-1), rtol=1e-3)


def test_the_two_hot_loss_is_smallest_where_the_mean_is_the_target():
  bins, target = symexp_bins(21), jnp.float32(3.3)
  logits = jnp.log(two_hot(target, bins) + 1e-12)
  gradient = jax.grad(lambda x: -SymexpTwoHot(x).log_prob(target))(logits)
  np.testing.assert_allclose(gradient, 0, atol=1e-6)
  assert SymexpTwoHot(logits).mean() == pytest.approx(3.3, rel=1e-2)


def test_the_target_of_a_two_hot_loss_gets_no_gradient():
  assert jax.grad(lambda target: SymexpTwoHot(jnp.arange(21.0)).log_prob(target))(2.5) == 0


# Categoricals.


def test_unimix_keeps_every_class_reachable():
  logits = jnp.array([0.0, 50.0, -500.0, 1.0])
  probs = np.exp(mix_uniform(logits, 0.01))
  np.testing.assert_allclose(probs, 0.99 * softmax(np.asarray(logits)) + 0.01 / 4, rtol=1e-5)
  np.testing.assert_allclose(np.exp(mix_uniform(logits, 0.0)), softmax(np.asarray(logits)), atol=1e-7)


def test_categorical_kl_entropy_and_log_prob_equal_numpy(rng):
  logits, others = rng.normal(size=(2, 5, 3, 4)) * 3
  p, q = (0.99 * softmax(x) + 0.01 / 4 for x in (logits, others))
  dist = distributions.OneHot(jnp.asarray(logits), 0.01, event_dims=1)
  other = distributions.OneHot(jnp.asarray(others), 0.01, event_dims=1)
  np.testing.assert_allclose(dist.kl_divergence(other), (p * np.log(p / q)).sum((-1, -2)), rtol=1e-4)
  np.testing.assert_allclose(dist.entropy(), -(p * np.log(p)).sum((-1, -2)), rtol=1e-4)
  event = np.eye(4)[rng.integers(4, size=(5, 3))].astype(np.float32)
  np.testing.assert_allclose(dist.log_prob(jnp.asarray(event)), (event * np.log(p)).sum((-1, -2)), rtol=1e-4)


def test_one_hot_samples_are_float_one_hot_and_follow_the_probabilities():
  logits = jnp.log(jnp.array([0.1, 0.2, 0.7]))
  samples = distributions.OneHot(jnp.broadcast_to(logits, (4000, 3))).sample(seed=jax.random.key(0))
  assert samples.dtype == jnp.float32
  np.testing.assert_allclose(samples.sum(-1), 1.0, atol=1e-6)
  np.testing.assert_allclose(samples.mean(0), [0.1, 0.2, 0.7], atol=0.03)


def test_one_hot_samples_pass_the_gradient_of_the_probabilities():
  logits, weight = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, 5.0, -2.0])

  def through_sample(logits):
    return distributions.OneHot(logits, 0.01).sample(seed=jax.random.key(1)) @ weight

  def through_probs(logits):
    return (0.99 * jax.nn.softmax(logits) + 0.01 / 3) @ weight

  np.testing.assert_allclose(jax.grad(through_sample)(logits), jax.grad(through_probs)(logits), rtol=1e-5)


def by_group(x, groups):
  """The entries of each group, by a loop."""
  parts, begin = [], 0
  for size in groups:
    parts.append(np.asarray(x)[..., begin : begin + size])
    begin += size
  return parts


@pytest.mark.parametrize("unimix", [0.0, 0.2])
def test_groups_sum_log_probabilities_and_entropies_and_take_each_mode(rng, unimix):
  groups = (3, 2, 1, 4)
  logits = rng.normal(size=(5, 10)) * 3
  action = np.concatenate([np.eye(n)[rng.integers(n, size=5)] for n in groups], -1)
  log_prob, entropy, mode = np.zeros(5), np.zeros(5), []
  for x, taken in zip(by_group(logits, groups), by_group(action, groups), strict=True):
    p = (1 - unimix) * softmax(x) + unimix / x.shape[-1]
    log_prob += np.log((p * taken).sum(-1))
    entropy += -(p * np.log(p)).sum(-1)
    mode.append(np.eye(x.shape[-1])[x.argmax(-1)])
  dist = distributions.OneHotGroups(jnp.asarray(logits), ActionSpec(10, True, groups), unimix)
  np.testing.assert_allclose(dist.log_prob(jnp.asarray(action)), log_prob, rtol=1e-4)
  np.testing.assert_allclose(dist.entropy(), entropy, rtol=1e-4)
  np.testing.assert_array_equal(dist.mode(), np.concatenate(mode, -1))


def test_groups_are_drawn_independently_by_their_probabilities():
  probs = np.array([0.1, 0.2, 0.7, 0.6, 0.4])
  action = ActionSpec(5, discrete=True, groups=(3, 2))
  logits = jnp.broadcast_to(jnp.log(probs), (8000, 5))
  samples = np.asarray(distributions.OneHotGroups(logits, action).sample(seed=jax.random.key(0)))
  assert samples.dtype == np.float32 and action.is_one_hot(samples).all()
  np.testing.assert_allclose(samples.mean(0), probs, atol=0.02)
  np.testing.assert_allclose(samples[:, :3].T @ samples[:, 3:] / 8000, np.outer(probs[:3], probs[3:]), atol=0.02)


def test_samples_of_groups_pass_the_gradient_of_the_probabilities():
  logits, weight = jnp.array([0.3, -1.0, 2.0, 0.5, -0.5]), jnp.array([1.0, 5.0, -2.0, 3.0, -1.0])

  def through_sample(logits):
    action = ActionSpec(5, discrete=True, groups=(3, 2))
    return distributions.OneHotGroups(logits, action, 0.01).sample(seed=jax.random.key(1)) @ weight

  def through_probs(logits):
    three, two = jax.nn.softmax(logits[:3]), jax.nn.softmax(logits[3:])
    return (0.99 * three + 0.01 / 3) @ weight[:3] + (0.99 * two + 0.01 / 2) @ weight[3:]

  np.testing.assert_allclose(jax.grad(through_sample)(logits), jax.grad(through_probs)(logits), rtol=1e-5)


def test_one_group_is_a_plain_one_hot_policy_to_the_bit(rng):
  logits = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
  one = distributions.OneHotGroups(logits, ActionSpec(4, discrete=True), 0.01)
  plain, seed = distributions.OneHot(logits, 0.01), jax.random.key(3)
  drawn = jax.random.categorical(seed, mix_uniform(logits, 0.01))
  np.testing.assert_array_equal(one.sample(seed=seed), jax.nn.one_hot(drawn, 4))
  np.testing.assert_array_equal(one.mode(), plain.mode())
  np.testing.assert_array_equal(one.log_prob(one.mode()), plain.log_prob(plain.mode()))
  np.testing.assert_array_equal(one.entropy(), plain.entropy())


def test_uniform_choices_are_uniform_in_each_group():
  action = ActionSpec(5, discrete=True, groups=(3, 2))
  drawn = np.asarray(distributions.uniform_choices(jax.random.key(0), action, 6000))
  assert action.is_one_hot(drawn).all()
  np.testing.assert_allclose(drawn[:, :3].T @ drawn[:, 3:] / 6000, np.full((3, 2), 1 / 6), atol=0.02)
  plain = distributions.uniform_choices(jax.random.key(0), ActionSpec(3, discrete=True), 60)
  np.testing.assert_array_equal(plain, np.eye(3)[jax.random.randint(jax.random.key(0), (60,), 0, 3)])


# Gaussians and yes or no.


def test_normal_kl_entropy_and_log_prob_equal_numpy(rng):
  mean, other_mean, x = rng.normal(size=(3, 5, 4))
  std, other_std = rng.uniform(0.2, 2, (2, 5, 4))
  dist, other = (
    distributions.normal(jnp.asarray(m), jnp.asarray(s)) for m, s in ((mean, std), (other_mean, other_std))
  )
  kl = np.log(other_std / std) + (std**2 + (mean - other_mean) ** 2) / (2 * other_std**2) - 0.5
  np.testing.assert_allclose(dist.kl_divergence(other), kl.sum(-1), rtol=1e-4)
  np.testing.assert_allclose(dist.entropy(), (0.5 * np.log(2 * np.pi * np.e * std**2)).sum(-1), rtol=1e-4)
  density = -0.5 * ((x - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
  np.testing.assert_allclose(dist.log_prob(jnp.asarray(x)), density.sum(-1), rtol=1e-4)
  np.testing.assert_allclose(dist.mode(), mean, rtol=1e-6)


def test_normal_samples_are_reparameterised():
  def sample(mean, std):
    return distributions.normal(mean, std).sample(seed=jax.random.key(0)).sum()

  mean, std = jnp.zeros(3), jnp.full(3, 0.5)
  noise = (distributions.normal(mean, std).sample(seed=jax.random.key(0)) - mean) / std
  by_mean, by_std = jax.grad(sample, (0, 1))(mean, std)
  np.testing.assert_allclose(by_mean, 1.0, rtol=1e-6)
  np.testing.assert_allclose(by_std, noise, rtol=1e-5)


def test_bernoulli_takes_soft_targets(rng):
  logits, target = rng.normal(size=6) * 3, rng.uniform(size=6)
  prob = 1 / (1 + np.exp(-logits))
  expected = target * np.log(prob) + (1 - target) * np.log(1 - prob)
  dist = distributions.bernoulli(jnp.asarray(logits))
  np.testing.assert_allclose(dist.log_prob(jnp.asarray(target)), expected, rtol=1e-4)
  np.testing.assert_allclose(dist.mean(), prob, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_statistics_are_computed_in_float32(dtype):
  x = jnp.ones((2, 3), dtype)
  dists = (distributions.OneHot(x, 0.01), distributions.normal(x, x), distributions.bernoulli(x))
  assert all(dist.mean().dtype == jnp.float32 for dist in dists[1:])
  assert all(dist.entropy().dtype == jnp.float32 for dist in dists)
