"""Guided policy search: what the student regresses on, and that it reaches the gain of Riccati on a linear system."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy import linalg

from dreamerax.behavior.base import Replayed, Situation
from dreamerax.behavior.guided_policy import GuidedPolicySearch, weights
from dreamerax.behavior.trajectory import Trajectory
from dreamerax.nets.modules import params_of, with_params
from dreamerax.nets.spatial import SpatialSoftmaxEncoder
from dreamerax.ops import linear_gaussian as lg
from dreamerax.presets import build
from dreamerax.types import CONDITION, ActionSpec, ArraySpec, EnvSpec, Transition
from tests.behavior.small_world import make_world

X, U, HORIZON, CONDITIONS, EACH = 2, 1, 10, 2, 8
A, B = np.array([[0.8, 0.2], [0.0, 0.6]]), np.array([[0.3], [0.5]])
STARTS = np.array([[1.0, -0.5], [-0.6, 0.8]])
ACTION_COST = 0.5
SPEC = EnvSpec({"x": ArraySpec((X,)), "true/x": ArraySpec((X,)), CONDITION: ArraySpec((CONDITIONS,))}, ActionSpec(U))
LINEAR = GuidedPolicySearch(
  target="x",
  horizon=HORIZON,
  updates=2,
  steps=1000,
  layers=0,
  trajectory=Trajectory(kl_step=2.0, action_cost=ACTION_COST, init_std=0.3, min_std=0.05),
)
WORLD = make_world(0.5)


def make(config=LINEAR, spec=SPEC):
  return config.build(0, spec, dtype=jnp.float32, rngs=nnx.Rngs(params=0))


def replayed(observation, actions, condition):
  """Episodes [B, T] with each one's condition [B]."""
  episodes, length = actions.shape[:2]
  shown = np.broadcast_to(np.eye(CONDITIONS, dtype=np.float32)[condition][:, None], (episodes, length, CONDITIONS))
  flags, reward = np.zeros((episodes, length), bool), np.zeros((episodes, length), np.float32)
  steps = Transition({**observation, CONDITION: shown}, actions, reward, flags, flags, flags)
  return Replayed(jnp.zeros((episodes, length, 0)), jnp.zeros((episodes, length, 0)), jax.tree.map(jnp.asarray, steps))


def rollouts(act, state, seed):
  """The student's episodes of the linear system, the conditions in turn."""
  rng, condition = np.random.default_rng(seed), np.arange(CONDITIONS * EACH) % CONDITIONS
  states, actions = [STARTS[condition].astype(np.float32)], [np.zeros((len(condition), U), np.float32)]
  for t in range(HORIZON):
    actions.append(np.asarray(act(state, states[-1], jax.random.fold_in(jax.random.key(seed), t))))
    noise = 0.003 * rng.normal(size=states[-1].shape)
    states.append((states[-1] @ A.T + actions[-1] @ B.T + noise).astype(np.float32))
  states = np.stack(states, 1)
  return replayed({"x": states, "true/x": states}, np.stack(actions, 1), condition)


@pytest.mark.slow
def test_a_linear_student_reaches_the_gain_of_riccati():
  module = make()
  optimizer = optax.adam(0.03)

  @jax.jit
  def act(state, x, key):
    params, slow = state
    student = with_params(module, params)
    return student.act(WORLD, Situation({}, {}, {"x": x}, student.acting(slow)), key, explore=True)[0]

  @jax.jit
  def learn(state, moments, batch):
    """One update with teachers, and the rest of the iteration's without: the optimum of the student is nearly reached."""

    def loss(params, slow):
      found = with_params(module, params).losses(slow, WORLD, {}, batch, jax.random.key(0))
      return found.losses["student"], found

    def step(carry, _):
      (params, slow), moments = carry
      gradient, found = jax.grad(loss, has_aux=True)(params, slow)
      change, moments = optimizer.update(gradient, moments)
      # An odd count leaves the teachers as they are: the iteration is as long as this loop.
      slow = {**found.slow, "updates": jnp.ones((), jnp.int32)}
      return ((optax.apply_updates(params, change), slow), moments), found.metrics["guided/cost"]

    params, slow = state
    carry, costs = jax.lax.scan(step, ((params, {**slow, "updates": jnp.zeros((), jnp.int32)}), moments), None, 150)
    return *carry, costs[-1]

  state = params_of(module), module.init_slow()
  moments, costs = optimizer.init(state[0]), []
  for iteration in range(12):
    state, moments, cost = learn(state, moments, rollouts(act, state, iteration))
    costs.append(float(cost))
  value = linalg.solve_discrete_are(A, B, 2 * np.eye(X), ACTION_COST * np.eye(U))
  gain = -np.linalg.solve(ACTION_COST * np.eye(U) + B.T @ value @ B, B.T @ value @ A)
  student = state[0]["student"]["out"]
  np.testing.assert_allclose(student["kernel"].T, gain, atol=0.1)
  np.testing.assert_allclose(student["bias"], 0, atol=0.05)
  assert costs[-1] < 0.8 * costs[0]


def random_teachers(module, rng):
  """State beside the parameters with gains and weights of random numbers, in the middle of an iteration."""
  slow = module.init_slow()
  kept = slow["teachers"]["trajectory"]
  kept = {**kept, **{name: 0.3 * rng.normal(size=kept[name].shape) for name in ("feedback", "feedforward")}}
  square = rng.normal(size=slow["teachers"]["weight"].shape)
  teachers = {**slow["teachers"], "trajectory": kept, "weight": square @ square.swapaxes(-1, -2)}
  return jax.tree.map(jnp.float32, {"teachers": teachers}) | {"updates": jnp.ones((), jnp.int32)}


@pytest.fixture(scope="module")
def regressed():
  """A student of images and vectors, its state and a batch [4, T], the results of its losses there, and their gradient."""
  spec = EnvSpec({**SPEC.observation, "image": ArraySpec((20, 20, 1), "uint8")}, ActionSpec(2))
  config = dataclasses.replace(LINEAR, encoder=SpatialSoftmaxEncoder(depths=(2, 2)), layers=1, units=4)
  module, rng = make(config, spec), np.random.default_rng(0)
  seen, states = (rng.normal(size=(4, HORIZON + 1, X)).astype(np.float32) for _ in range(2))
  image = rng.integers(0, 256, (4, HORIZON + 1, 20, 20, 1), np.uint8)
  actions = rng.uniform(-1, 1, (4, HORIZON + 1, 2)).astype(np.float32)
  batch = replayed({"x": seen, "true/x": states, "image": image}, actions, np.array([1, 0, 1, 0]))
  slow = random_teachers(module, rng)

  @jax.jit
  def learn(params):
    def loss(params):
      found = with_params(module, params).losses(slow, WORLD, {}, batch, jax.random.key(0))
      return found.losses["student"], found

    return jax.grad(loss, has_aux=True)(params)

  return module, slow, batch.steps, *learn(params_of(module))


def test_the_loss_is_the_distance_to_the_teachers_in_their_precision(regressed):
  module, slow, steps, _, found = regressed
  jax.tree.map(np.testing.assert_array_equal, found.slow["teachers"], slow["teachers"])
  assert found.slow["updates"] == 2
  means = np.asarray(module.student({name: steps.observation[name] for name in ("x", "image")}))
  states = np.asarray(steps.observation["true/x"])
  kept, total = slow["teachers"]["trajectory"], 0.0
  for b, k in enumerate([1, 0, 1, 0]):
    for t in range(HORIZON):
      wanted = np.asarray(kept["feedback"])[k, t] @ states[b, t] + np.asarray(kept["feedforward"])[k, t]
      error = means[b, t] - np.clip(wanted, -1, 1)
      total += error @ np.asarray(slow["teachers"]["weight"])[k, t] @ error / 2
  np.testing.assert_allclose(found.losses["student"], total / (4 * HORIZON), rtol=1e-4)


def test_the_first_convolution_gets_a_gradient(regressed):
  module, _, _, gradient, _ = regressed
  assert module.needs == ("x", "image")
  assert np.abs(gradient["student"]["encoder"]["stages"]["stage0"]["kernel"]).max() > 1e-6


def test_weights_are_precisions_cut_at_twice_their_median_and_one_on_average():
  rng = np.random.default_rng(0)
  square = rng.normal(size=(2, 5, 3, 3)) * rng.uniform(0.1, 4, (2, 5, 1, 1))
  precision = square @ square.swapaxes(-1, -2)
  sizes = [[np.trace(precision[k, t]) / 3 for t in range(5)] for k in range(2)]
  most = 2 * np.median(sizes)
  assert max(map(max, sizes)) > most
  cut = [[precision[k, t] * min(1, most / sizes[k][t]) for t in range(5)] for k in range(2)]
  mean = np.mean([[np.trace(cut[k][t]) / 3 for t in range(5)] for k in range(2)])
  np.testing.assert_allclose(weights(precision), np.array(cut) / mean, rtol=1e-5)


def test_a_policy_that_is_linear_is_fitted_exactly_where_states_vary():
  rng = np.random.default_rng(0)
  states, gains = rng.normal(size=(6, HORIZON, X)), rng.normal(size=(HORIZON, U, X))
  actions = np.einsum("tux,btx->btu", gains, states) + 0.3
  found = lg.fit_policy(jnp.float32(states), jnp.float32(actions), 0.0)
  np.testing.assert_allclose(found.feedback, gains, atol=1e-3)
  np.testing.assert_allclose(found.feedforward, 0.3, atol=1e-3)
  np.testing.assert_allclose(found.covariance, 0, atol=1e-3)


def test_what_does_not_fit_is_refused():
  shown = dict(SPEC.observation)
  with pytest.raises(ValueError, match=r"GuidedPolicySearch has linear teachers, and actions are choices"):
    make(spec=EnvSpec(shown, ActionSpec(3, discrete=True)))
  with pytest.raises(ValueError, match=r"needs the true state, 'true/state' of it .* shows x, true/x, true/condition"):
    make(dataclasses.replace(LINEAR, target="state"))
  del shown[CONDITION]
  with pytest.raises(ValueError, match=r"shows x, true/x, not 'true/condition': give --conditions 4"):
    make(spec=EnvSpec(shown, SPEC.action))
  module, states = make(), np.zeros((3, HORIZON + 1, X), np.float32)
  few = replayed({"x": states, "true/x": states}, np.zeros((3, HORIZON + 1, U), np.float32), np.zeros(3, int))
  with pytest.raises(ValueError, match=r"each of conditions=2, and replay.batch_size=3: give --replay.batch-size 8"):
    module.losses(module.init_slow(), WORLD, {}, few, jax.random.key(0))
  with pytest.raises(ValueError, match=r"horizon=9 is the steps of an episode"):
    make(dataclasses.replace(LINEAR, horizon=9)).losses(module.init_slow(), WORLD, {}, few, jax.random.key(0))
  run = build("guided-policy")
  with pytest.raises(ValueError, match=r"GuidedPolicySearch learns from whole episodes .* and the schedule has 3"):
    dataclasses.replace(run, schedule=dataclasses.replace(run.schedule, updates=3))
