"""Losses and gradients of Dreamer v1's and v2's actor-critic against loops in NumPy."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.base import Replayed
from dreamerax.behavior.policy_gradient import Mixed, Pathwise, Reinforce
from dreamerax.nets.heads import ActorHead, TwoHotHead
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import Transition
from tests import plain
from tests.behavior.small_world import ACTION, SPEC, F, cross_entropy, make_world, policy, value

B, T, HORIZON, LAMBDA, ENTROPY = 2, 3, 4, 0.9, 0.01
TERMINAL = np.array([[0, 0, 1], [0, 0, 0]], bool)


def compute(**changes):
  """Losses, their gradients into actor, critic and start, the rollout, and the parameters."""
  config = ActorCriticV2(
    actor=ActorHead(layers=1, units=5),
    critic=TwoHotHead(layers=1, units=5, bins=11),
    horizon=HORIZON,
    return_lambda=LAMBDA,
    entropy_scale=ENTROPY,
    **changes,
  )
  module, params = plain.randomised(lambda: config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  rng = np.random.default_rng(1)
  target = params["critic"]
  if config.target_every:
    target = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), target)
  slow = {"critic": jax.tree.map(np.float32, target)} if config.target_every else {}
  start = rng.normal(size=(B * T, F)).astype(np.float32)
  flag, nothing = np.zeros((B, T), bool), jnp.zeros((B, T, F))
  steps = Transition({}, np.zeros((B, T, ACTION)), np.zeros((B, T)), flag, TERMINAL, TERMINAL)

  @jax.jit
  def run(params):
    def losses(params):
      bound, world = with_params(module, params), make_world(0.5)
      out = bound.losses(slow, world, {"x": start}, Replayed(nothing, nothing, steps), jax.random.key(7))
      return out.losses, bound.imagine(world, {"x": start}, jax.random.key(7))

    jacobian, rollout = jax.jacrev(losses, has_aux=True)(params)
    return losses(params)[0], jacobian, rollout

  losses, jacobian, rollout = run(params_of(module))
  x = np.asarray(rollout.features, np.float64)
  return SimpleNamespace(
    losses=losses, jacobian=jacobian, x=x, actions=np.asarray(rollout.actions, np.float64), params=params, target=target
  )


@pytest.fixture(scope="module")
def v2():
  return compute()


@pytest.fixture(scope="module")
def v1():
  return compute(target_every=0, start_values=False)


def reward(x):
  return 3 * x[0] + 1


def going_on(case, n, t):
  return 0.0 if t == 0 and TERMINAL.ravel()[n] else float(plain.sigmoid(2 + case.x[n, t, 1]))


def targets(case):
  """[N, H]: R_t = r_t + γ_t ((1 - λ) v_{t+1} + λ R_{t+1})."""
  rows = np.zeros((B * T, HORIZON))
  for n in range(B * T):
    ret = value(case.target, case.x[n, HORIZON])
    for t in reversed(range(HORIZON)):
      ahead = (1 - LAMBDA) * value(case.target, case.x[n, t + 1]) + LAMBDA * ret
      ret = rows[n, t] = reward(case.x[n, t]) + going_on(case, n, t) * ahead
  return rows


def weight(case, n, t):
  return float(np.prod([going_on(case, n, i) for i in range(t)]))


def entropy(case, n, t):
  return (0.5 * np.log(2 * math.pi * math.e * policy(case.params["actor"], case.x[n, t])[1] ** 2)).sum()


def score(case, n, t, ret):
  """log-probability of the action taken, times the advantage."""
  mean, std = policy(case.params["actor"], case.x[n, t])
  log_prob = (-0.5 * ((case.actions[n, t] - mean) / std) ** 2 - np.log(std * math.sqrt(2 * math.pi))).sum()
  return log_prob * (ret - value(case.target, case.x[n, t]))


def actor_loss(case, objective):
  ret = targets(case)
  rows = [
    -weight(case, n, t) * (objective(case, n, t, ret[n, t + 1]) + ENTROPY * entropy(case, n, t))
    for n in range(B * T)
    for t in range(HORIZON - 1)
  ]
  return np.mean(rows)


def test_an_action_is_judged_by_the_target_of_the_state_it_leads_to(v2):
  expected = actor_loss(v2, lambda case, n, t, ret: ret)
  assert v2.losses["actor"] == pytest.approx(expected, rel=1e-3)


def test_likelihood_ratios_have_the_target_network_as_baseline():
  case = compute(gradient=Reinforce())
  assert case.losses["actor"] == pytest.approx(actor_loss(case, score), rel=1e-3)


def test_both_gradients_can_be_mixed():
  case = compute(gradient=Mixed(pathwise=0.3))
  expected = actor_loss(case, lambda *args: 0.3 * args[-1] + 0.7 * score(*args))
  assert case.losses["actor"] == pytest.approx(expected, rel=1e-3)


def test_the_critic_learns_every_state_but_the_last(v2):
  ret = targets(v2)
  rows = [
    weight(v2, n, t) * cross_entropy(v2.params["critic"], v2.x[n, t], ret[n, t])
    for n in range(B * T)
    for t in range(HORIZON)
  ]
  assert v2.losses["critic"] == pytest.approx(np.mean(rows), rel=1e-3)


def test_dreamer_v1_leaves_the_start_out_and_is_its_own_target(v1):
  """As if imagination had 3 states and 2 returns after the start, with a discount product that begins at 1."""
  ret = targets(v1)
  assert v1.losses["actor"] == pytest.approx(actor_loss(v1, lambda case, n, t, ret: ret), rel=1e-3)
  rows = [
    weight(v1, n, t - 1) * cross_entropy(v1.params["critic"], v1.x[n, t], ret[n, t])
    for n in range(B * T)
    for t in range(1, HORIZON)
  ]
  assert v1.losses["critic"] == pytest.approx(np.mean(rows), rel=1e-3)


def test_each_loss_trains_its_own_network(v2, v1):
  for case in (v2, v1):
    for loss, other in (("actor", "critic"), ("critic", "actor")):
      assert any(np.any(x) for x in jax.tree.leaves(case.jacobian[loss][loss]))
      assert not any(np.any(x) for x in jax.tree.leaves(case.jacobian[loss][other]))


def test_the_target_network_is_copied_every_so_many_updates():
  config = ActorCriticV2(ActorHead(1, 5), TwoHotHead(1, 5, 11), Pathwise(), target_every=3)
  module = config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))
  old = {"critic": jax.tree.map(jnp.zeros_like, params_of(module.critic))}
  copied = []
  for updates in range(7):
    new = module.update_slow(old, jnp.int32(updates))
    copied.append(any(np.any(x) for x in jax.tree.leaves(new)))
  assert copied == [True, False, False, True, False, False, True]
