"""KL objectives against loops, with squared distances as the divergence."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.types import ActionSpec, EnvSpec
from dreamerax.world_model.objectives.base import Seen, Sizes
from dreamerax.world_model.objectives.kl import (
  AnnealedKL,
  BalancedKL,
  FreeBits,
  MeanFreeNats,
  PlainKL,
  StateFreeNats,
)

RNG = np.random.default_rng(0)
POSTERIOR, PRIOR = RNG.normal(size=(2, 3, 4, 2))
DISTANCES = ((POSTERIOR - PRIOR) ** 2).sum(-1)  # [3, 4], some below 1 and some above
NATS = 1.5


def distance(q, p):
  return jnp.square(q - p).sum(-1)


def total(objective, posterior, prior):
  losses = objective.losses(distance, posterior, prior)
  assert losses.keys() == objective.scales.keys()
  return sum(objective.scales[name] * loss.mean() for name, loss in losses.items())


def gradients(objective):
  return jax.grad(lambda *args: total(objective, *args), (0, 1))(jnp.asarray(POSTERIOR), jnp.asarray(PRIOR))


def pull(counts):
  """Gradient into the posterior [3, 4, 2] of the mean distance over the states that count; the prior's is the negative."""
  return 2 * (POSTERIOR - PRIOR) * counts[..., None] / DISTANCES.size


@pytest.fixture(autouse=True)
def states_on_both_sides():
  assert (DISTANCES < NATS).any() and (DISTANCES > NATS).any() and DISTANCES.mean() > NATS


def test_free_bits_count_states_above_the_free_nats_with_a_scale_for_each_side():
  objective = FreeBits(NATS, dynamics_scale=0.7, representation_scale=0.2)
  value = sum(0.9 * max(x, NATS) for x in DISTANCES.ravel()) / DISTANCES.size
  assert total(objective, POSTERIOR, PRIOR) == pytest.approx(value, rel=1e-5)
  posterior, prior = gradients(objective)
  np.testing.assert_allclose(posterior, 0.2 * pull(DISTANCES > NATS), rtol=1e-5)
  np.testing.assert_allclose(prior, -0.7 * pull(DISTANCES > NATS), rtol=1e-5)


def test_state_free_nats_train_both_sides_alike():
  objective = StateFreeNats(NATS, scale=0.5)
  assert total(objective, POSTERIOR, PRIOR) == pytest.approx(0.5 * np.maximum(DISTANCES, NATS).mean(), rel=1e-5)
  posterior, prior = gradients(objective)
  np.testing.assert_allclose(posterior, 0.5 * pull(DISTANCES > NATS), rtol=1e-5)
  np.testing.assert_allclose(prior, -posterior, rtol=1e-5)


def test_the_plain_kl_counts_every_state_and_trains_both_sides_alike():
  objective = PlainKL(scale=0.5)
  assert total(objective, POSTERIOR, PRIOR) == pytest.approx(0.5 * DISTANCES.mean(), rel=1e-5)
  posterior, prior = gradients(objective)
  np.testing.assert_allclose(posterior, 0.5 * pull(np.ones_like(DISTANCES)), rtol=1e-5)
  np.testing.assert_allclose(prior, -posterior, rtol=1e-5)
  with pytest.raises(ValueError, match="scale=-1 must be at least 0"):
    PlainKL(scale=-1)


@pytest.mark.parametrize(("updates", "share"), [(0, 0.2), (5, 0.6), (10, 1.0), (1000, 1.0)])
def test_an_annealed_kl_grows_to_all_of_it(updates, share):
  objective = AnnealedKL(scale=0.5, begin=0.2, updates=10)
  module = objective.build(Sizes(1, 2, 0), EnvSpec({}, ActionSpec(1)), dtype=jnp.float32, rngs=nnx.Rngs(0))
  model: Any = SimpleNamespace(dynamics=SimpleNamespace(kl=distance))
  nothing: Any = None
  seen = Seen({}, jnp.zeros(()), {}, jnp.asarray(POSTERIOR), jnp.asarray(PRIOR))
  losses = module.losses({}, model, seen, nothing, jnp.int32(updates), jax.random.key(0))
  np.testing.assert_allclose(losses["kl"], share * DISTANCES, rtol=1e-5)
  assert module.scales == {"kl": 0.5}
  with pytest.raises(ValueError, match="begin=2 must lie between 0 and 1"):
    AnnealedKL(begin=2)


@pytest.mark.parametrize("objective", [MeanFreeNats, BalancedKL])
def test_free_nats_of_the_mean_let_every_state_count_or_none(objective):
  assert total(objective(NATS), POSTERIOR, PRIOR) == pytest.approx(DISTANCES.mean(), rel=1e-5)
  assert total(objective(100.0), POSTERIOR, PRIOR) == pytest.approx(100.0)
  everything = pull(np.ones_like(DISTANCES))
  posterior, prior = gradients(objective(NATS))
  share = {MeanFreeNats: (1.0, 1.0), BalancedKL: (0.2, 0.8)}[objective]
  np.testing.assert_allclose(posterior, share[0] * everything, rtol=1e-5)
  np.testing.assert_allclose(prior, -share[1] * everything, rtol=1e-5)
  assert not np.any(gradients(objective(100.0)))


def test_balancing_moves_the_prior_four_times_as_fast():
  assert BalancedKL(scale=0.5).scales == {"dynamics": 0.4, "representation": pytest.approx(0.1)}
