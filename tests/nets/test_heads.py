import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from dreamerax.nets.heads import (
  ActorHead,
  BinaryHead,
  NormalHead,
  QuadraticHead,
  TanhNormalActor,
  TruncatedNormalActor,
  TwoHotHead,
)
from dreamerax.types import ActionSpec
from tests import plain


@pytest.fixture
def features():
  return np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)


def make(config, *args):
  return config.build(9, *args, dtype=jnp.float32, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("layers", [1, 3])
def test_scalars_are_predicted_as_exactly_zero_at_first(features, layers):
  head = make(TwoHotHead(layers=layers, units=8))
  assert not plain.call(head, lambda head, x: head(x).mean(), features).any()


def test_a_target_beyond_the_limit_counts_as_the_limit(features):
  head, _ = plain.randomised(lambda: make(TwoHotHead(layers=1, units=8, bins=5, limit=2.0)))
  found = [head(features).log_prob(jnp.full(5, target)) for target in (np.expm1(1.9), np.expm1(2.0), 1e6)]
  np.testing.assert_array_equal(found[1], found[2])
  assert not np.array_equal(found[0], found[1])


def test_a_limit_of_zero_is_refused():
  with pytest.raises(ValueError, match="limit=0"):
    TwoHotHead(limit=0)


def test_a_quadratic_head_equals_loops_and_never_curves_upwards(features):
  head, params = plain.randomised(lambda: make(QuadraticHead()))
  mean = plain.call(head, lambda head, x: head(x).mean(), features)
  cost = params["metric"].T @ params["metric"]
  for row, x in enumerate(features):
    expected = params["best"]
    for i, j in np.ndindex(9, 9):
      expected -= cost[i, j] * (x[i] - params["peak"][i]) * (x[j] - params["peak"][j]) / 2
    np.testing.assert_allclose(mean[row], expected, rtol=1e-4)
  hessian = plain.call(head, lambda head, x: jax.hessian(lambda x: head(x[None]).mean()[0])(x), features[0])
  np.testing.assert_allclose(hessian, -cost, rtol=1e-3, atol=1e-4)
  assert np.linalg.eigvalsh(hessian).max() < 1e-4
  target = np.arange(5, dtype=np.float32)
  likelihood = plain.call(head, lambda head, x: head(x).log_prob(target), features)
  np.testing.assert_allclose(likelihood, stats.norm.logpdf(target, mean), rtol=1e-4)
  with pytest.raises(ValueError, match="start=0 must be more than 0"):
    QuadraticHead(start=0)


def test_continuous_policy_equals_numpy(features):
  head, params = plain.randomised(lambda: make(ActorHead(layers=2, units=8), ActionSpec(3)))
  x = plain.mlp(params["mlp"], features)
  mean, raw = (plain.linear(params["out"][key], x) for key in ("mean", "std"))
  std = 0.1 + 0.9 * plain.sigmoid(raw + 2)
  policy = head(features)
  np.testing.assert_allclose(policy.mode(), np.tanh(mean), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(policy.entropy(), (0.5 * np.log(2 * np.pi * np.e * std**2)).sum(-1), rtol=1e-4)


def test_an_untrained_continuous_policy_is_wide_and_centred(features):
  policy = make(ActorHead(layers=2, units=8), ActionSpec(3))(features)
  assert np.abs(policy.mode()).max() < 0.05
  std = 0.1 + 0.9 * plain.sigmoid(2.0)
  np.testing.assert_allclose(policy.entropy(), 3 * 0.5 * np.log(2 * np.pi * np.e * std**2), rtol=1e-2)


def test_discrete_policy_is_one_hot_and_with_unimix_never_certain(features):
  head, _ = plain.randomised(lambda: make(ActorHead(layers=1, units=8, unimix=0.01), ActionSpec(4, discrete=True)))
  policy = head(100 * features)
  for action in (policy.sample(seed=jax.random.key(0)), policy.mode()):
    assert action.dtype == jnp.float32
    np.testing.assert_allclose(np.sort(action, -1), np.broadcast_to([0, 0, 0, 1], (5, 4)), atol=1e-6)
  least = np.stack([policy.log_prob(jnp.eye(4)[i]) for i in range(4)]).min()
  assert least >= np.log(0.01 / 4) - 1e-5


@pytest.mark.parametrize(
  "config", [ActorHead(layers=1, units=8), TanhNormalActor(layers=1, units=8), TruncatedNormalActor(layers=1, units=8)]
)
def test_policies_over_several_choices_make_each(features, config):
  action = ActionSpec(5, discrete=True, groups=(3, 2))
  head, _ = plain.randomised(lambda: make(config, action))
  policy = head(100 * features)
  for chosen in (policy.sample(seed=jax.random.key(0)), policy.mode()):
    np.testing.assert_allclose(chosen[:, :3].sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(chosen[:, 3:].sum(-1), 1, atol=1e-6)
  each = [policy.log_prob(jnp.concatenate([jnp.eye(3)[i], jnp.eye(2)[j]])) for i in range(3) for j in range(2)]
  np.testing.assert_allclose(np.exp(each).sum(0), 1, rtol=1e-5)


def test_yes_or_no_equals_numpy(features):
  head, params = plain.randomised(lambda: make(BinaryHead(layers=1, units=8)))
  logit = plain.linear(params["out"], plain.mlp(params["mlp"], features))[:, 0]
  np.testing.assert_allclose(head(features).mean(), plain.sigmoid(logit), rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_a_scalar_of_unit_variance_equals_numpy(features, activation):
  head, params = plain.randomised(lambda: make(NormalHead(layers=2, units=8, activation=activation)))
  mean = plain.linear(params["out"], plain.plain_mlp(params["mlp"], features, getattr(plain, activation)))[:, 0]
  target = np.linspace(-3, 3, 5)
  prediction = head(features)
  np.testing.assert_allclose(prediction.mean(), mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(prediction.mode(), mean, rtol=1e-4, atol=1e-5)
  expected = -0.5 * (target - mean) ** 2 - 0.5 * np.log(2 * np.pi)
  np.testing.assert_allclose(prediction.log_prob(jnp.asarray(target)), expected, rtol=1e-4)


def test_the_policy_of_dreamer_v1_equals_numpy(features):
  config = TanhNormalActor(layers=2, units=8, init_std=3.0, min_std=0.2, mean_scale=1.5)
  head, params = plain.randomised(lambda: make(config, ActionSpec(3)))
  out = plain.linear(params["out"]["mean_std"], plain.plain_mlp(params["mlp"], features, plain.elu))
  mean = 1.5 * np.tanh(out[:, :3] / 1.5)
  std = plain.softplus(out[:, 3:] + np.log(np.exp(3.0) - 1)) + 0.2
  action = np.random.default_rng(1).uniform(-0.9, 0.9, (5, 3))
  expected = stats.norm.logpdf(np.arctanh(action), mean, std) - np.log(1 - action**2)
  np.testing.assert_allclose(head(features).log_prob(jnp.asarray(action)), expected.sum(-1), rtol=1e-4)


def test_the_policy_of_dreamer_v2_equals_numpy(features):
  head, params = plain.randomised(lambda: make(TruncatedNormalActor(layers=2, units=8), ActionSpec(3)))
  x = plain.plain_mlp(params["mlp"], features, plain.elu)
  mean, raw = (plain.linear(params["out"][key], x) for key in ("mean", "std"))
  mean, std = np.tanh(mean), 2 * plain.sigmoid(raw / 2) + 0.1
  policy = head(features)
  np.testing.assert_allclose(policy.mode(), mean, rtol=1e-4, atol=1e-5)
  entropy = stats.truncnorm.entropy((-1 - mean) / std, (1 - mean) / std, mean, std)
  np.testing.assert_allclose(policy.entropy(), entropy.sum(-1), rtol=1e-4)


@pytest.mark.parametrize("config", [TanhNormalActor(layers=1, units=8), TruncatedNormalActor(layers=1, units=8)])
def test_older_discrete_policies_are_one_hot_and_may_be_certain(features, config):
  head, params = plain.randomised(lambda: make(config, ActionSpec(4, discrete=True)))
  policy = head(100 * features)
  np.testing.assert_allclose(np.sort(policy.sample(seed=jax.random.key(0)), -1)[:, -1], 1.0, atol=1e-6)
  logits = plain.linear(params["out"]["logits"], plain.plain_mlp(params["mlp"], 100 * features, plain.elu))
  np.testing.assert_array_equal(policy.mode().argmax(-1), logits.argmax(-1))
  rarest = np.eye(4)[logits.argmin(-1)]
  expected = logits.min(-1) - np.logaddexp.reduce(logits, -1)
  np.testing.assert_allclose(policy.log_prob(jnp.asarray(rarest)), expected, rtol=1e-4)
  assert expected.min() < np.log(1e-4)
