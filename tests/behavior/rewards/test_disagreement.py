"""Disagreement against loops in NumPy: what the members predict, from which action, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.base import Replayed
from dreamerax.behavior.rewards.disagreement import Disagreement
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T, MEMBERS = 3, 5, 4
SPEC = EnvSpec({}, ActionSpec(ACTION))
CONFIG = Disagreement(members=MEMBERS, layers=2, units=6, scale=3.0)


def build():
  return CONFIG.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def replayed(features, action, is_first) -> Replayed:
  no = np.zeros(is_first.shape, bool)
  return Replayed(features, features, Transition({}, action, no.astype(np.float32), is_first, no, no))


def random_batch() -> Replayed:
  rng = np.random.default_rng(0)
  is_first = np.zeros((B, T), bool)
  is_first[0, 0] = is_first[1, 2] = is_first[2, 4] = True
  action = (1.5 * rng.uniform(-1, 1, (B, T, ACTION)) * ~is_first[..., None]).astype(np.float32)
  return replayed(rng.normal(size=(B, T, F)).astype(np.float32), action, is_first)


def losses(module, batch: Replayed):
  return module.losses({}, make_world(0.5), {}, batch, jax.random.key(0))


def predictions(params, features, action) -> np.ndarray:
  """[K, F] of one step, one member at a time."""
  inputs = np.concatenate([features, np.clip(action, -1, 1)])[None]
  members = [jax.tree.map(lambda x: x[k], params["ensemble"]["stacked"]) for k in range(MEMBERS)]  # noqa: B023
  return np.stack([plain.linear(member["out"], plain.mlp(member["mlp"], inputs))[0] for member in members])


def test_loss_equals_a_loop_over_steps_whose_next_one_is_of_the_same_episode():
  module, params = plain.randomised(build)
  batch, found = random_batch(), []
  for b in range(B):
    for t in range(T - 1):
      if not batch.steps.is_first[b, t + 1]:
        predicted = predictions(params, batch.features[b, t], batch.steps.action[b, t + 1])
        found.append(0.5 * np.square(predicted - batch.features[b, t + 1]).sum(-1).mean())
  assert len(found) == B * (T - 1) - 2
  assert losses(module, batch).losses["disagreement"] == pytest.approx(np.mean(found), rel=1e-4)


def test_reward_is_the_variance_over_members_averaged_over_entries():
  module, params = plain.randomised(build)
  batch = random_batch()
  reward = module(batch.features, batch.steps.action)
  assert reward.shape == (B, T)
  for b in range(B):
    for t in range(T):
      predicted = predictions(params, batch.features[b, t], batch.steps.action[b, t])
      assert reward[b, t] == pytest.approx(3 * predicted.var(0).mean(), rel=1e-3)


def test_members_that_are_one_agree():
  module, _ = plain.randomised(build)
  alike = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), params_of(module))
  batch = random_batch()
  np.testing.assert_allclose(with_params(module, alike)(batch.features, batch.steps.action), 0, atol=1e-10)


def test_its_loss_gives_no_gradient_to_the_world_model():
  module, _ = plain.randomised(build)
  batch = random_batch()
  gradient = jax.grad(lambda x: losses(module, batch._replace(features=x)).losses["disagreement"])(batch.features)
  np.testing.assert_array_equal(gradient, np.zeros_like(batch.features))


@pytest.fixture(scope="module")
def trained():
  """On features that are the action which led to them: nothing but the next action tells the next features."""
  module = Disagreement(members=MEMBERS, layers=1, units=16).build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  action = np.random.default_rng(0).uniform(-1, 1, (64, 4, ACTION)).astype(np.float32)
  batch = replayed(action, action, np.zeros((64, 4), bool))
  optimizer, params = optax.adam(1e-2), params_of(module)

  @jax.jit
  def step(params, state):
    loss, gradient = jax.value_and_grad(lambda p: losses(with_params(module, p), batch).losses["disagreement"])(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, loss

  state, loss = optimizer.init(params), jnp.inf
  for _ in range(300):
    params, state, loss = step(params, state)
  return with_params(module, params), float(loss)


def test_it_learns_what_the_next_action_does(trained):
  _, loss = trained
  assert loss < 0.02  # the variance of the features, half of it, is 1 / 3


def test_members_agree_where_there_was_data_and_not_far_from_it(trained):
  module, _ = trained
  here = np.random.default_rng(1).uniform(-1, 1, (100, 2 * F)).astype(np.float32)
  near, far = (module(scale * here[:, :F], here[:, F:]).mean() for scale in (1, 10))
  assert far > 5 * near


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("members", 1, "at least 2"),
    ("layers", 0, "at least 1"),
    ("units", 0, "at least 1"),
    ("scale", 0.0, "more than 0"),
  ],
)
def test_figures_that_make_no_sense_are_refused(field, value, message):
  with pytest.raises(ValueError, match=f"{field}={value} must be {message}"):
    Disagreement(**{field: value})
