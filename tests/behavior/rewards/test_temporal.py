"""The learned distance in steps: which pairs it learns from, and what it comes to say."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.base import Replayed
from dreamerax.behavior.rewards.temporal import TemporalDistance
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import Transition
from tests import plain
from tests.behavior.small_world import ACTION, SPEC, F, make_world

B, T = 3, 12
WORLD = make_world(0.5)._replace(glance=lambda embed, key: embed)


def build(**fields):
  return TemporalDistance(layers=1, units=24, **fields).build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch(x: Any, is_first: np.ndarray) -> Replayed:
  no = np.zeros(is_first.shape, bool)
  action = np.zeros((*is_first.shape, ACTION), np.float32)
  return Replayed(x, x, Transition({}, action, no.astype(np.float32), is_first, no, no))


def walks() -> Replayed:
  """Each row walks along the first axis in steps of 0.1; its second entry is the row's, and another episode's later on."""
  is_first = np.zeros((B, T), bool)
  is_first[:, 0] = is_first[1, 5] = True
  place = np.stack([np.where(np.arange(T) < 5, b, b + 5.0 * is_first[b, 5]) for b in range(B)])
  x = np.stack([np.broadcast_to(0.1 * np.arange(T), (B, T)), place], -1).astype(np.float32)
  return batch(x, is_first)


def test_sequences_shorter_than_the_largest_distance_are_refused():
  assert build(limit=T - 1).losses({}, WORLD, {}, walks(), jax.random.key(0)).losses["temporal_distance"] >= 0
  with pytest.raises(ValueError, match=f"replay.batch_length={T}: .* limit={T} .* raise it to {T + 1}"):
    build(limit=T).losses({}, WORLD, {}, walks(), jax.random.key(0))


def test_the_loss_is_the_squared_error_of_steps_apart_within_the_episode():
  """A network that reads steps off the first entry, and whose error is then seen: the pairs are of one episode."""
  module, replayed, seen = build(limit=4, others=0.0), walks(), []
  anything: Any = module

  def spy(features, goal):
    seen.append((features, goal))
    return 2.5 * (goal - features)[..., 0]  # steps / limit

  anything.distance = spy
  for seed in range(20):
    found = module.losses({}, WORLD, {}, replayed, jax.random.key(seed))
    assert found.losses["temporal_distance"] == pytest.approx(0, abs=1e-10)
  apart = np.concatenate([np.rint(10 * (goal - features)[..., 0]).ravel() for features, goal in seen])
  assert set(apart) == {0, 1, 2, 3, 4}
  for features, goal in seen:
    np.testing.assert_array_equal(features[..., 1], goal[..., 1])  # never over a reset


def test_pairs_of_the_whole_batch_count_as_far():
  module, replayed = build(limit=4, others=1.0), walks()
  anything: Any = module
  anything.distance = lambda features, goal: jnp.full(features.shape[:-1], 0.25)
  found = module.losses({}, WORLD, {}, replayed, jax.random.key(0))
  assert found.losses["temporal_distance"] == pytest.approx(0.5 * 0.75**2)
  assert found.metrics["temporal_distance/error"] == pytest.approx(3)


@pytest.mark.parametrize(("expectile", "loss"), [(0.5, 0.5 * 0.75**2), (0.1, 0.1 * 0.75**2)])
def test_a_distance_that_is_too_small_weighs_as_much_as_the_expectile(expectile: float, loss: float):
  module, replayed = build(limit=4, others=1.0, expectile=expectile), walks()
  anything: Any = module
  anything.distance = lambda features, goal: jnp.full(features.shape[:-1], 0.25)
  found = module.losses({}, WORLD, {}, replayed, jax.random.key(0))
  assert found.losses["temporal_distance"] == pytest.approx(loss)
  anything.distance = lambda features, goal: jnp.full(features.shape[:-1], 1.5)
  found = module.losses({}, WORLD, {}, replayed, jax.random.key(0))
  assert found.losses["temporal_distance"] == pytest.approx((1 - expectile) * 0.5**2)


def test_it_tells_near_from_far_and_gives_the_world_model_no_gradient():
  module, replayed, optimizer = build(limit=8), walks(), optax.adam(1e-2)

  def loss(params, features, key):
    inside = replayed._replace(features=features, embed=features)
    return with_params(module, params).losses({}, WORLD, {}, inside, key).losses["temporal_distance"]

  assert not np.any(jax.grad(loss, 1)(params_of(module), replayed.features, jax.random.key(0)))

  @jax.jit
  def step(params, state, key):
    changes, state = optimizer.update(jax.grad(loss)(params, replayed.features, key), state)
    return optax.apply_updates(params, changes), state

  params: Any = params_of(module)
  state = optimizer.init(params)
  for count in range(300):
    params, state = step(params, state, jax.random.key(count))
  learned = with_params(module, params)
  at = replayed.features
  near, far, other = (float(-learned(at[0, 2], goal)) for goal in (at[0, 3], at[0, 9], at[2, 2]))
  assert near < far - 0.3 and other > near + 0.3
  assert plain.call(module, lambda each: each(at[0, 2], at[0, 3])) == 0  # before anything is learned


def test_figures_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match="limit=0"):
    TemporalDistance(limit=0)
  with pytest.raises(ValueError, match=r"others=1\.5"):
    TemporalDistance(others=1.5)
  with pytest.raises(ValueError, match="expectile=0"):
    TemporalDistance(expectile=0)
