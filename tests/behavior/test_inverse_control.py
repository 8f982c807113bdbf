"""The inverse model: its loss against a loop, a linear world inverted, choices."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.base import Replayed, Situation
from dreamerax.behavior.inverse_control import InverseControl
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T, BINS = 2, 5, 4
OBSERVATION = {"x": ArraySpec((F,)), "goal/x": ArraySpec((F,))}
SPEC = EnvSpec(OBSERVATION, ActionSpec(ACTION))
GROUPS = (3, 2)
CHOICES = EnvSpec(OBSERVATION, ActionSpec(5, discrete=True, groups=GROUPS))
WORLD = make_world(1.0)
CONFIG = InverseControl(bins=BINS, steps=3, layers=1, units=8)


def build(config: InverseControl = CONFIG, spec: EnvSpec = SPEC):
  return config.build(F, spec, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch(seed: int = 0, spec: EnvSpec = SPEC, rows: int = B, length: int = T) -> Replayed:
  """An episode begins at the third step of the first row."""
  rng = np.random.default_rng(seed)
  x, action = (rng.uniform(-1, 1, (rows, length, size)).astype(np.float32) for size in (F, spec.action.size))
  if spec.action.discrete:
    action = np.concatenate([np.eye(n)[rng.integers(n, size=(rows, length))] for n in GROUPS], -1, dtype=np.float32)
  first, flags = np.zeros((rows, length), bool), np.zeros((rows, length), bool)
  first[0, length // 2] = True
  return Replayed(x, x, Transition({}, action, flags.astype(np.float32), first, flags, flags))


def chosen(action: np.ndarray, spec: EnvSpec) -> list[int]:
  """Which interval or choice each part of an action [A] is, by hand."""
  if spec.action.discrete:
    return [int(part.argmax()) for part in np.split(action, np.cumsum(GROUPS)[:-1])]
  edges = np.linspace(-1, 1, BINS + 1)[1:-1]
  return [int((edges <= entry).sum()) for entry in action]


def by_loop(params: dict, x: np.ndarray, replayed: Replayed, spec: EnvSpec) -> float:
  sizes = GROUPS if spec.action.discrete else (BINS,) * ACTION
  losses, first, length = [], replayed.steps.is_first, x.shape[1]
  for b, t, apart in np.ndindex(len(x), length, 3):
    later = t + apart + 1
    if later >= length or first[b, t + 1 : later + 1].any():
      continue
    hidden = plain.plain_mlp(params["mlp"], np.concatenate([x[b, t], x[b, later]]), plain.relu)
    parts = np.split(plain.linear(params["out"], hidden), np.cumsum(sizes)[:-1])
    picked = chosen(replayed.steps.action[b, t + 1], spec)
    losses.append(sum(np.log(np.exp(part).sum()) - part[i] for part, i in zip(parts, picked, strict=True)))
  assert 0 < len(losses) < len(x) * 9
  return float(np.mean(losses))


def test_sequences_shorter_than_the_way_between_two_states_are_refused():
  module, key = build(), jax.random.key(0)
  assert module.losses({}, WORLD, {}, batch(length=4), key).losses["inverse"] > 0
  with pytest.raises(ValueError, match=r"replay.batch_length=3: .* steps=3 .* raise it to 4"):
    module.losses({}, WORLD, {}, batch(length=3), key)


@pytest.mark.parametrize("spec", [SPEC, CHOICES], ids=["continuous", "choices"])
def test_loss_and_gradients_are_those_of_a_loop(spec: EnvSpec):
  module, params = plain.randomised(lambda: build(spec=spec))
  replayed = batch(spec=spec)

  @jax.jit
  def both(weights, x):
    def loss(weights, x):
      given = replayed._replace(features=x)
      return with_params(module, weights).losses({}, WORLD, {}, given, jax.random.key(0)).losses["inverse"]

    return jax.value_and_grad(loss, argnums=(0, 1))(weights, x)

  found, (of_params, of_x) = both(params_of(module), replayed.features)
  x = np.float64(replayed.features)
  assert found == pytest.approx(by_loop(params["model"], x, replayed, spec), rel=1e-5)
  kernel = params["model"]["out"]["kernel"]
  places = ((x, of_x, (0, 1, 1)), (x, of_x, (1, 4, 0)), (kernel, of_params["model"]["out"]["kernel"], (2, 1)))
  for array, gradient, place in places:
    ends, kept = [], array[place]
    for nudge in (1e-5, -1e-5):
      array[place] = kept + nudge
      ends.append(by_loop(params["model"], x, replayed, spec))
    array[place] = kept
    assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=2e-3, abs=1e-5)


def test_pairs_of_two_episodes_teach_nothing():
  module, replayed = build(replace(CONFIG, steps=1)), batch(length=2)
  first = np.array([[False, True], [False, True]])
  replayed = replayed._replace(steps=replayed.steps._replace(is_first=first))
  loss = lambda each, x: each.losses({}, WORLD, {}, replayed._replace(features=x), jax.random.key(0)).losses["inverse"]  # noqa: E731
  found, gradient = plain.call(
    module, lambda each, x: jax.value_and_grad(lambda x: loss(each, x))(x), replayed.features
  )
  assert found == 0 and not np.any(gradient)


def test_it_inverts_a_linear_world_and_reaches_a_goal():
  """x' = 0.9 x + action; a goal three steps away is reached in as many, though pairs were of two at most."""
  module = build(InverseControl(bins=21, steps=2, layers=1, units=64))
  optimizer = optax.adam(1e-2)

  @jax.jit
  def learn(params, state, key):
    start_key, action_key, loss_key = jax.random.split(key, 3)
    x = [jax.random.uniform(start_key, (128, F), minval=-3, maxval=3)]
    action = jax.random.uniform(action_key, (128, 3, ACTION), minval=-1, maxval=1)
    for t in (1, 2):
      x.append(0.9 * x[-1] + action[:, t])
    none = jnp.zeros((128, 3), bool)
    features = jnp.stack(x, 1)
    replayed = Replayed(features, features, Transition({}, action, none.astype(jnp.float32), none, none, none))
    loss = lambda params: with_params(module, params).losses({}, WORLD, {}, replayed, loss_key).losses["inverse"]  # noqa: E731
    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state

  params = params_of(module)
  state = optimizer.init(params)
  for key in jax.random.split(jax.random.key(0), 600):
    params, state = learn(params, state, key)
  x, goal = jnp.array([[-1.0, 1.0]]), jnp.array([[1.0, -0.5]])
  act = jax.jit(
    lambda x: with_params(module, params).act(
      WORLD, Situation({"x": x}, {}, {"goal/x": goal}, {}), jax.random.key(0), explore=False
    )[0]
  )
  for _ in range(4):
    x = WORLD.step({"x": x}, act(x), jax.random.key(0))["x"]
  np.testing.assert_allclose(x, goal, atol=0.2)


@pytest.mark.parametrize("explore", [False, True])
def test_actions_are_middles_of_intervals_or_choices(explore: bool):
  latent, hidden = {"x": jnp.ones((3, F))}, {"goal/x": jnp.zeros((3, F))}
  for spec in (SPEC, CHOICES):
    module = build(spec=spec)
    assert module.needs == ("goal/x",)
    now = Situation(latent, {}, hidden, {})
    action, memory = module.act(WORLD, now, jax.random.key(0), explore=explore)
    assert memory == {}
    if spec.action.discrete:
      assert spec.action.is_one_hot(np.asarray(action)).all()
    else:
      np.testing.assert_allclose(np.abs(action) % 0.5, 0.25, atol=1e-6)  # -0.75, -0.25, 0.25, 0.75


def test_what_it_cannot_do_is_refused():
  with pytest.raises(ValueError, match="bins=1 must be at least 2"):
    InverseControl(bins=1)
  with pytest.raises(ValueError, match="steps=0 must be at least 1"):
    InverseControl(steps=0)
  with pytest.raises(ValueError, match=r"'goal/x' is float32 \[3\], and 'x' is float32 \[2\]"):
    build(spec=EnvSpec({**OBSERVATION, "goal/x": ArraySpec((3,))}, SPEC.action))
