import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.heads import ActorHead, BinaryHead, TwoHotHead
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


def test_yes_or_no_equals_numpy(features):
  head, params = plain.randomised(lambda: make(BinaryHead(layers=1, units=8)))
  logit = plain.linear(params["out"], plain.mlp(params["mlp"], features))[:, 0]
  np.testing.assert_allclose(head(features).mean(), plain.sigmoid(logit), rtol=1e-4)
