"""Actor-critic losses against loops in NumPy, in a world small enough to write down."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Replayed
from dreamerax.behavior.policy_gradient import Pathwise, Reinforce
from dreamerax.nets.heads import ActorHead, TwoHotHead
from dreamerax.nets.modules import params_of, with_params
from dreamerax.ops.normalizers import PercentileScale
from dreamerax.types import Transition
from tests import plain
from tests.behavior.small_world import ACTION, SPEC, F, cross_entropy, make_world, policy, value

B, T, HORIZON = 2, 4, 3
LAMBDA, ENTROPY, SLOW, DISCOUNT = 0.9, 0.01, 0.7, 0.97


def build(gradient):
  config = ActorCritic(
    actor=ActorHead(layers=1, units=5),
    critic=TwoHotHead(layers=1, units=5, bins=11),
    gradient=gradient,
    return_scale=PercentileScale(rate=0.5, limit=0.1),
    horizon=HORIZON,
    return_lambda=LAMBDA,
    entropy_scale=ENTROPY,
    slow_scale=SLOW,
    discount=DISCOUNT,
  )
  return config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def replayed_steps(rng):
  is_last = np.array([[0, 1, 0, 0], [0, 0, 1, 0]], bool)
  is_terminal = np.array([[0, 1, 0, 0], [0, 0, 0, 0]], bool)  # the second episode ends by time limit
  is_first = np.roll(is_last, 1, 1)
  reward = rng.normal(size=(B, T)).astype(np.float32) * ~is_first
  return Transition({}, np.zeros((B, T, ACTION), np.float32), reward, is_first, is_last, is_terminal)


def compute(gradient):
  """Losses and gradients, and all that a loop needs to find them again."""
  rng = np.random.default_rng(0)
  module, params = plain.randomised(lambda: build(gradient))
  slow = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), params["critic"])
  slow_state = {"critic": jax.tree.map(np.float32, slow), "returns": {"low": np.float32(-1), "high": np.float32(2)}}
  start = rng.normal(size=(B * T, F)).astype(np.float32)
  features = rng.normal(size=(B, T, F)).astype(np.float32)
  steps, key = replayed_steps(rng), jax.random.key(7)

  @jax.jit
  def run(params, slow_critic, gain, start, features):
    """Value, and by loss the gradients into actor and critic, slow critic, world, starts, replayed features."""

    def losses(params, slow_critic, gain, start, features):
      bound = with_params(module, params)
      slow = {**slow_state, "critic": slow_critic}
      out = bound.losses(slow, make_world(gain), {"x": start}, Replayed(features, features, steps), key)
      return out.losses, (out, bound.imagine(make_world(gain), {"x": start}, key))

    jacobian, (out, rollout) = jax.jacrev(losses, (0, 1, 2, 3, 4), has_aux=True)(
      params, slow_critic, gain, start, features
    )
    return out, rollout, jacobian

  out, rollout, jacobian = run(params_of(module), slow_state["critic"], jnp.float32(0.5), start, features)
  return SimpleNamespace(
    out=out, rollout=rollout, jacobian=jacobian, params=params, slow=slow, features=features, steps=steps, start=start
  )


@pytest.fixture(scope="module")
def reinforce():
  return compute(Reinforce())


@pytest.fixture(scope="module")
def pathwise():
  return compute(Pathwise())


# The same once more, one number at a time.


def critic_loss(case, x, target):
  return cross_entropy(case.params["critic"], x, target) + SLOW * cross_entropy(
    case.params["critic"], x, value(case.slow, x)
  )


def imagined_returns(case):
  x = np.asarray(case.rollout.features, np.float64)
  returns = np.zeros((B * T, HORIZON))
  for n in range(B * T):
    ret = value(case.params["critic"], x[n, HORIZON])
    for t in reversed(range(HORIZON)):
      reward, going_on = 3 * x[n, t + 1, 0] + 1, plain.sigmoid(2 + x[n, t + 1, 1])
      ret = reward + going_on * ((1 - LAMBDA) * value(case.params["critic"], x[n, t + 1]) + LAMBDA * ret)
      returns[n, t] = ret
  return x, returns


def weights(x):
  """[N, H] running products of the continue probability, the start's own included."""
  return np.stack([[np.prod(plain.sigmoid(2 + row[: t + 1, 1])) for t in range(HORIZON)] for row in x])


def return_scale(returns):
  low, high = np.percentile(returns, [5, 95])
  return max(0.1, (0.5 * 2 + 0.5 * high) - (0.5 * -1 + 0.5 * low))


def test_imagination_follows_the_world_and_the_policy(reinforce):
  x, actions = (np.asarray(a) for a in reinforce.rollout)
  assert x.shape == (B * T, HORIZON + 1, F) and actions.shape == (B * T, HORIZON + 1, ACTION)
  np.testing.assert_array_equal(x[:, 0], reinforce.start)
  np.testing.assert_allclose(x[:, 1:], 0.9 * x[:, :-1] + 0.5 * actions[:, :-1], rtol=1e-5, atol=1e-5)


def test_reinforce_loss_equals_a_loop(reinforce):
  x, returns = imagined_returns(reinforce)
  weight, scale = weights(x), return_scale(returns)
  total = 0.0
  for n in range(B * T):
    for t in range(HORIZON):
      mean, std = policy(reinforce.params["actor"], x[n, t])
      action = np.asarray(reinforce.rollout.actions[n, t], np.float64)
      log_prob = (-0.5 * ((action - mean) / std) ** 2 - np.log(std * math.sqrt(2 * math.pi))).sum()
      entropy = (0.5 * np.log(2 * math.pi * math.e * std**2)).sum()
      advantage = (returns[n, t] - value(reinforce.params["critic"], x[n, t])) / scale
      total -= weight[n, t] * (log_prob * advantage + ENTROPY * entropy)
  assert reinforce.out.losses["actor"] == pytest.approx(total / (B * T * HORIZON), rel=1e-3)


def test_pathwise_loss_equals_a_loop(pathwise):
  x, returns = imagined_returns(pathwise)
  scale = return_scale(returns)
  entropy = np.array(
    [
      [(0.5 * np.log(2 * math.pi * math.e * policy(pathwise.params["actor"], s)[1] ** 2)).sum() for s in row]
      for row in x
    ]
  )[:, :-1]
  expected = (weights(x) * (-returns / scale - ENTROPY * entropy)).mean()
  assert pathwise.out.losses["actor"] == pytest.approx(expected, rel=1e-3)


def test_critic_loss_equals_a_loop(reinforce):
  x, returns = imagined_returns(reinforce)
  weight = weights(x)
  rows = [weight[n, t] * critic_loss(reinforce, x[n, t], returns[n, t]) for n in range(B * T) for t in range(HORIZON)]
  assert reinforce.out.losses["critic"] == pytest.approx(np.mean(rows), rel=1e-3)


def test_replay_value_loss_equals_a_loop(reinforce):
  _, returns = imagined_returns(reinforce)
  bootstrap, steps = returns[:, 0].reshape(B, T), reinforce.steps
  rows = np.zeros((B, T - 1))
  for b in range(B):
    ret = bootstrap[b, -1]
    for t in reversed(range(T - 1)):
      going_on = DISCOUNT * (1 - steps.is_terminal[b, t + 1])
      lambda_ = LAMBDA * (1 - steps.is_last[b, t + 1])  # a return never runs on into the next episode
      ret = steps.reward[b, t + 1] + going_on * ((1 - lambda_) * bootstrap[b, t + 1] + lambda_ * ret)
      if not steps.is_last[b, t]:
        rows[b, t] = critic_loss(reinforce, np.float64(reinforce.features[b, t]), ret)
  assert reinforce.out.losses["replay_value"] == pytest.approx(rows.mean(), rel=1e-3)


def test_return_statistics_are_brought_up_to_date(reinforce):
  _, returns = imagined_returns(reinforce)
  low, high = np.percentile(returns, [5, 95])
  state = reinforce.out.slow["returns"]
  assert state["low"] == pytest.approx(0.5 * -1 + 0.5 * low, rel=1e-3)
  assert state["high"] == pytest.approx(0.5 * 2 + 0.5 * high, rel=1e-3)


# Where gradients go: (actor and critic, slow critic, world, starts, replayed features).


def flows(case, loss):
  names = ("params", "slow", "world", "start", "replay")
  parts = dict(zip(names, case.jacobian[loss], strict=True))
  parts |= parts.pop("params")
  return {name for name, tree in parts.items() if any(np.any(x) for x in jax.tree.leaves(tree))}


@pytest.fixture(params=["reinforce", "pathwise"])
def case(request):
  return request.getfixturevalue(request.param)


def test_the_critic_learns_alone_in_imagination(case):
  assert flows(case, "critic") == {"critic"}


def test_the_replay_value_loss_reaches_critic_and_world_model(case):
  assert flows(case, "replay_value") == {"critic", "replay"}


def test_reinforce_does_not_look_through_the_world(reinforce):
  assert flows(reinforce, "actor") == {"actor"}


def test_pathwise_goes_through_the_world_into_the_actor(pathwise):
  reached = flows(pathwise, "actor")
  assert "actor" in reached and "world" in reached
  assert not reached & {"slow", "replay"}


def test_pathwise_gradient_equals_finite_differences_of_the_imagined_return():
  """With the noise held, the loss is a plain function of the actor's last bias."""
  module, _ = plain.randomised(lambda: build(Pathwise()))
  start = np.random.default_rng(0).normal(size=(3, F)).astype(np.float32)

  @jax.jit
  def returns(shift):
    params = params_of(module)
    params["actor"]["out"]["mean"]["bias"] = params["actor"]["out"]["mean"]["bias"] + shift
    bound = with_params(module, params)
    rollout = bound.imagine(make_world(0.5), {"x": start}, jax.random.key(0))
    return rollout.features[..., 0].sum()

  step = 1e-2
  numeric = (returns(step) - returns(-step)) / (2 * step)
  assert jax.grad(returns)(0.0) == pytest.approx(float(numeric), rel=5e-2)
  assert abs(numeric) > 0.1
