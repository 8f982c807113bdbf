"""Fitted Q iteration against value iteration on a chain, and its loss against loops."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.behavior.base import Replayed, Situation
from dreamerax.behavior.fitted_q import FittedQ, FourierFeatures
from dreamerax.nets.modules import params_of, with_params
from dreamerax.ops.optimizers import Adam
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import make_world

STATES, LEFT, RIGHT, DISCOUNT = 5, 0, 1, 0.9
SPEC = EnvSpec({"x": ArraySpec((STATES,))}, ActionSpec(2, discrete=True))


def build(config, spec=SPEC, features=STATES):
  return config.build(features, spec, dtype=jnp.float32, rngs=nnx.Rngs(0))


def chain() -> tuple[np.ndarray, Transition]:
  """Features and steps of all ten moves along 0 … 4, two rows each. Reaching 4 pays 1 and ends; at 0 one stays, for 0.1."""
  rows = []
  for state in range(STATES - 1):
    for action in (LEFT, RIGHT):
      after = max(state - 1, 0) if action == LEFT else state + 1
      rows.append((state, action, after))
  state, action, after = np.array(rows).T
  count = len(rows)
  features = np.eye(STATES, dtype=np.float32)[np.stack([state, after], 1)]
  actions = np.zeros((count, 2, 2), np.float32)
  actions[:, 1] = np.eye(2)[action]
  reward = np.zeros((count, 2), np.float32)
  reward[:, 1] = np.where(after == STATES - 1, 1, np.where((after == 0) & (state == 0), 0.1, 0))
  first = np.tile([True, False], (count, 1))
  terminal = np.zeros((count, 2), bool)
  terminal[:, 1] = after == STATES - 1
  last = np.tile([False, True], (count, 1))  # each pair ends by a time limit, which cuts nothing off
  return features, Transition({}, actions, reward, first, last, terminal)


def value_iteration(sweeps: int) -> np.ndarray:
  """Q [5, 2] after so many sweeps from zero; the last state, where all ends, stays zero."""
  q = np.zeros((STATES, 2))
  for _ in range(sweeps):
    new = np.zeros_like(q)
    for state in range(STATES - 1):
      for action in (LEFT, RIGHT):
        after = max(state - 1, 0) if action == LEFT else state + 1
        pays = 1.0 if after == STATES - 1 else 0.1 if state == after == 0 else 0.0
        new[state, action] = pays + (0 if after == STATES - 1 else DISCOUNT * q[after].max())
    q = new
  return q


def test_so_many_fits_are_so_many_sweeps_of_value_iteration():
  every = 500
  config = FittedQ(layers=0, optimizer=Adam(learning_rate=0.03), target_every=every, discount=DISCOUNT)
  module = build(config)
  features, steps = chain()
  optimizer = module.optimizers["q"].build()

  class Fit(NamedTuple):
    params: dict
    slow: dict
    optimizer: tuple

  def update(fit: Fit, updates: jax.Array) -> tuple[Fit, None]:
    def loss(params):
      replayed = Replayed(jnp.asarray(features), jnp.zeros((len(features), 2, 1)), steps)
      return with_params(module, params).losses(fit.slow, make_world(0.5), {}, replayed, jax.random.key(0)).losses["q"]

    # the step size falls in each fit, so that it ends at its minimum
    gradient = jax.grad(loss)(fit.params)
    change, state = optimizer.update(gradient["q"], fit.optimizer, fit.params["q"])
    share = 0.5 ** ((updates % every) / 40)
    params = {"q": jax.tree.map(lambda x, by: x + share * by, fit.params["q"], change)}
    return Fit(params, with_params(module, params).update_slow(fit.slow, updates), state), None

  run = jax.jit(lambda fit, start: jax.lax.scan(update, fit, start + jnp.arange(every))[0])
  fit = Fit(params_of(module), module.init_slow(), optimizer.init(params_of(module)["q"]))
  for sweeps in range(1, 7):
    fit = run(fit, jnp.int32((sweeps - 1) * every))
    bound = with_params(module, {"q": fit.slow["q"]})
    q = np.asarray(bound.q(jnp.eye(STATES)))
    np.testing.assert_allclose(q[:4], value_iteration(sweeps)[:4], atol=2e-3)
  greedy = value_iteration(6)[:4].argmax(-1)
  now = Situation({"x": jnp.eye(STATES)[:4]}, {}, {}, {})
  action, _ = bound.act(make_world(0.5), now, jax.random.key(0), explore=False)
  np.testing.assert_array_equal(np.asarray(action).argmax(-1), greedy)
  np.testing.assert_allclose(bound.value(jnp.eye(STATES)[:4]), value_iteration(6)[:4].max(-1), atol=2e-3)


@pytest.fixture(scope="module")
def batch():
  """Three rows of two sequences; an episode begins within the first one, and the second ends in a terminal step."""
  rng = np.random.default_rng(0)
  features = rng.normal(size=(2, 4, 3)).astype(np.float32)
  action = np.eye(2, dtype=np.float32)[rng.integers(2, size=(2, 4))]
  first = np.zeros((2, 4), bool)
  first[0, 2] = True
  terminal = np.zeros((2, 4), bool)
  terminal[1, 3] = terminal[0, 1] = True
  reward = rng.normal(size=(2, 4)).astype(np.float32)
  reward[first] = 0
  action[first] = 0
  return features, Transition({}, action, reward, first, terminal, terminal)


def test_the_loss_and_its_gradient_equal_loops(batch):
  features, steps = batch
  module, params = plain.randomised(lambda: build(FittedQ(layers=0, discount=0.8), features=3))
  frozen = jax.tree.map(lambda x: np.float32(x + 0.3), params["q"])

  def loss(params, features):
    replayed = Replayed(features, jnp.zeros((2, 4, 1)), steps)
    out = with_params(module, params).losses({"q": frozen}, make_world(0.5), {}, replayed, jax.random.key(0))
    return out.losses["q"]

  value, (by_params, by_features) = jax.jit(jax.value_and_grad(loss, (0, 1)))(params_of(module), jnp.asarray(features))
  gaps, into = [], np.zeros((3, 2))
  for b in range(2):
    for t in range(3):
      if steps.is_first[b, t + 1]:
        continue
      ahead = 0 if steps.is_terminal[b, t + 1] else plain.linear(frozen["out"], features[b, t + 1]).max()
      choice = steps.action[b, t + 1].argmax()
      gap = plain.linear(params["q"]["out"], features[b, t])[choice] - (steps.reward[b, t + 1] + 0.8 * ahead)
      gaps.append(gap)
      into[:, choice] += 2 * gap * features[b, t]
  assert len(gaps) == 5
  assert value == pytest.approx(np.mean(np.square(gaps)), rel=1e-4)
  np.testing.assert_allclose(by_params["q"]["out"]["kernel"], into / 5, rtol=1e-3, atol=1e-5)
  assert not np.any(by_features)  # nothing reaches the world model


def test_q_begins_at_zero_and_a_fit_is_frozen_for_as_long_as_the_next_one_takes():
  module = build(FittedQ(target_every=3))
  assert not np.any(module.q(jnp.eye(STATES)))
  old = {"q": jax.tree.map(lambda x: jnp.full_like(x, 9.0), params_of(module.q))}
  copied = [bool(jnp.all(module.update_slow(old, jnp.int32(updates))["q"]["out"]["bias"] == 0)) for updates in range(7)]
  assert copied == [False, False, True, False, False, True, False]


def test_fourier_features_are_cosines_of_projections_that_do_not_learn():
  config = FittedQ(layers=0, fourier=FourierFeatures(count=5, length=0.1))
  module, params = plain.randomised(lambda: build(config, features=3))
  features = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
  fourier = params["q"]["fourier"]
  cosines = np.sqrt(2) * np.cos(features @ fourier["directions"] + fourier["phases"])
  expected = plain.linear(params["q"]["out"], np.concatenate([features, cosines], -1))
  np.testing.assert_allclose(with_params(module, params).q(features), expected, atol=1e-5)
  gradient = jax.grad(lambda params: jnp.square(with_params(module, params).q(features)).sum())(params)
  assert not np.any(gradient["q"]["fourier"]["directions"]) and not np.any(gradient["q"]["fourier"]["phases"])
  assert np.any(gradient["q"]["out"]["kernel"])


def test_fourier_features_have_a_deviation_of_one_and_forget_within_their_length():
  module = build(FittedQ(fourier=FourierFeatures(count=4000, length=0.1)), features=3).q.fourier

  def correlation(distance: float) -> float:
    one, other = (np.asarray(module(jnp.array(place))[3:]) for place in ([0.3, 0.2, 0.1], [0.3 + distance, 0.2, 0.1]))
    return float((one * other).mean())

  for distance in (0, 0.05, 0.1, 0.3):
    assert correlation(distance) == pytest.approx(np.exp(-((distance / 0.1) ** 2) / 2), abs=0.08)


def test_what_it_cannot_choose_among_is_refused():
  with pytest.raises(ValueError, match="actions are continuous: choose a --task with discrete actions"):
    build(FittedQ(), EnvSpec(SPEC.observation, ActionSpec(2)))
  with pytest.raises(ValueError, match="an action is several, of 3 and 2"):
    build(FittedQ(), EnvSpec(SPEC.observation, ActionSpec(5, discrete=True, groups=(3, 2))))
  with pytest.raises(ValueError, match="target_every=0 must be at least 1"):
    FittedQ(target_every=0)
  with pytest.raises(ValueError, match="discount=2 must lie between 0 and 1"):
    FittedQ(discount=2)
  with pytest.raises(ValueError, match="count=0 must be at least 1"):
    FourierFeatures(count=0)
  with pytest.raises(ValueError, match="length=0 must be more than 0"):
    FourierFeatures(length=0)
