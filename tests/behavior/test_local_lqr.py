"""LQR with fitted dynamics: it reaches the Riccati cost of a linear system, and acts by the gains of each step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.agent import Agent, AgentConfig
from dreamerax.behavior.base import Iteration, Replayed, Situation
from dreamerax.behavior.exploring import Exploring
from dreamerax.behavior.local_lqr import LocalLQR, LocalLQRModule
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance
from dreamerax.behavior.trajectory import Trajectory, quadratic_costs
from dreamerax.behavior.uniform import Uniform
from dreamerax.ops import linear_gaussian as lg
from dreamerax.ops import lqr
from dreamerax.presets import build
from dreamerax.replay import ReplayConfig
from dreamerax.runtime.schedule import BurstConfig, IterationsConfig
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from dreamerax.world_model.true_state import TrueState
from tests.behavior.small_world import ACTION, SPEC, F, make_world

HORIZON, EPISODES = 8, 12
A = np.array([[0.9, 0.3], [-0.2, 0.8]])
B = np.array([[0.5, 0.0], [0.2, 0.7]])
NOISE = 0.01
WORLD = make_world(0.5)._replace(reward=lambda x: -(x[..., 0] ** 2) - 0.5 * (x[..., 1] - 0.3) ** 2)
TRAJECTORY = Trajectory(kl_step=2.0, action_cost=0.5, init_std=0.3, min_std=0.02)


@pytest.fixture(scope="module")
def learned():
  """The module after iterations on a linear system, its state, and the mean cost of the episodes of each iteration."""
  module = LocalLQR(horizon=HORIZON, updates=2, trajectory=TRAJECTORY).build(F, SPEC, dtype=jnp.float32, rngs=None)
  slow, rng, costs = module.init_slow(), np.random.default_rng(0), []
  act = jax.jit(lambda state, memory, x, key: module.act(WORLD, situation(x, memory, state), key, explore=True))
  losses = jax.jit(lambda slow, replayed: module.losses(slow, WORLD, {}, replayed, jax.random.key(0)))
  for iteration in range(15):
    replayed = episodes(act, module, module.acting(slow), rng, iteration)
    for _ in range(2):
      found = losses(slow, replayed)
      slow = found.slow
    costs.append(float(found.metrics["lqr/cost"]))
  return module, slow, costs


def situation(x, memory, state):
  return Situation({"x": jnp.asarray(x)}, memory, {}, state)


def episodes(act, module, state, rng, seed):
  """Whole episodes of the system under the policy, as replay gives them."""
  x = (np.array([1.0, -0.5]) + 0.2 * rng.normal(size=(EPISODES, F))).astype(np.float32)
  states, actions, memory = [x], [np.zeros((EPISODES, ACTION), np.float32)], module.initial_memory(EPISODES)
  for t in range(HORIZON):
    action, memory = act(state, memory, states[-1], jax.random.fold_in(jax.random.key(seed), t))
    actions.append(np.asarray(action))
    noise = NOISE * rng.normal(size=(EPISODES, F))
    states.append((states[-1] @ A.T + actions[-1] @ B.T + noise).astype(np.float32))
  return whole(np.stack(states, 1), np.stack(actions, 1))


def whole(states, actions):
  flags = np.zeros(states.shape[:2], bool)
  steps = Transition({"x": states}, actions, np.zeros(states.shape[:2], np.float32), flags, flags, flags)
  return Replayed(jnp.asarray(states), jnp.asarray(states), jax.tree.map(jnp.asarray, steps))


def true_dynamics():
  transition = jnp.float32(np.tile(np.concatenate([A, B], 1), (HORIZON, 1, 1)))
  return lg.LinearDynamics(transition, jnp.zeros((HORIZON, F)), NOISE**2 * jnp.tile(jnp.eye(F), (HORIZON, 1, 1)))


def test_it_comes_to_the_cost_of_riccati_on_a_linear_system(learned):
  _, slow, costs = learned
  dynamics, start = true_dynamics(), lg.Moments(jnp.array([1.0, -0.5]), 0.04 * jnp.eye(F))
  expand = jax.jit(lambda states: quadratic_costs(lambda x: -WORLD.reward(x), states, 0.5, dynamics))
  problem, constant = expand(jnp.zeros((1, HORIZON, F)))

  @jax.jit
  def cost(gains):
    policy = lg.LinearPolicy(gains["feedback"], gains["feedforward"], jnp.zeros((HORIZON, ACTION, ACTION)))
    return lg.expected_cost(problem, *lg.marginals(dynamics, policy, start)) + constant

  best, first = jax.jit(lqr.solve_free)(problem)[0]._asdict(), jax.tree.map(jnp.zeros_like, slow["trajectory"])
  assert cost(slow["trajectory"]) < 1.01 * cost(best)
  assert cost(first) > 1.5 * cost(best)
  assert costs[-1] < 0.7 * costs[0] and slow["trajectory"]["iterations"] == 15  # of two updates each


def test_each_step_has_its_own_gains_and_the_mode_is_cut_to_the_limits(learned):
  module, slow, _ = learned
  state, t = module.acting(slow), jnp.array([0, 3, 30])
  x = jnp.array([[0.1, 0.2], [-0.3, 0.4], [9.0, 0.0]])
  action, memory = module.act(WORLD, situation(x, {"t": t}, state), jax.random.key(0), explore=False)
  for row, step in enumerate((0, 3, HORIZON - 1)):
    expected = state["feedback"][step] @ x[row] + state["feedforward"][step]
    np.testing.assert_allclose(action[row], np.clip(expected, -1, 1), rtol=1e-5)
  assert np.abs(action[2]).max() == 1  # beyond the end, the last gains
  np.testing.assert_array_equal(memory["t"], t + 1)


def test_exploring_draws_with_the_policys_covariance(learned):
  module, slow, _ = learned
  state = module.acting(slow)
  x = jnp.zeros((20_000, F))
  now = situation(x, {"t": jnp.full(20_000, 2)}, state)
  drawn, _ = module.act(WORLD, now, jax.random.key(0), explore=True)
  mean, _ = module.act(WORLD, now, jax.random.key(0), explore=False)
  covariance = np.asarray(state["deviation"][2]) @ np.asarray(state["deviation"][2]).T
  np.testing.assert_allclose(np.cov((drawn - mean).T), covariance, atol=0.05 * covariance.max())


def test_costs_are_expanded_at_each_state_and_do_not_curve_downwards():
  rng = np.random.default_rng(0)
  states, dynamics = rng.normal(size=(3, HORIZON, F)).astype(np.float32), true_dynamics()
  expand = jax.jit(lambda x: quadratic_costs(lambda x: x[:, 0] ** 4 - x[:, 1] ** 2, x, 0.1, dynamics))
  problem, constant = expand(states)
  total = 0.0
  for t in range(HORIZON):
    square, slope = np.zeros((F, F)), np.zeros(F)
    for first, second in states[:, t]:
      curve, gradient = np.diag([12 * first**2, 0]), np.array([4 * first**3, -2 * second])
      here = np.array([first, second])
      square, slope = square + curve / 3, slope + (gradient - curve @ here) / 3
      total += (first**4 - second**2 - gradient @ here + here @ curve @ here / 2) / 3
    last = t == HORIZON - 1
    np.testing.assert_allclose(problem.last_hessian if last else problem.hessian[t + 1, :F, :F], square, rtol=1e-4)
    np.testing.assert_allclose(problem.last_gradient if last else problem.gradient[t + 1, :F], slope, rtol=1e-4)
  np.testing.assert_allclose(constant, total, rtol=1e-4)
  np.testing.assert_allclose(problem.hessian[:, F:, F:], np.tile(0.1 * np.eye(ACTION), (HORIZON, 1, 1)))
  assert (problem.hessian[0, :F] == 0).all()


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match=r"LocalLQR acts linearly, and actions are choices: choose a --task"):
    LocalLQR().build(F, EnvSpec({}, ActionSpec(3, discrete=True)), dtype=jnp.float32, rngs=None)
  module = LocalLQR(horizon=5).build(F, SPEC, dtype=jnp.float32, rngs=None)
  replayed = whole(np.zeros((2, 7, F), np.float32), np.zeros((2, 7, ACTION), np.float32))
  with pytest.raises(ValueError, match=r"horizon=5 is the steps of an episode, .* and replay.batch_length=7"):
    module.losses(module.init_slow(), WORLD, {}, replayed, jax.random.key(0))
  with pytest.raises(ValueError, match=r"action_cost=0 must be more than 0"):
    Trajectory(action_cost=0)
  with pytest.raises(
    ValueError, match=r"world_model=TrueState takes the state .* 'image' is an image: name the task's"
  ):
    Agent(AgentConfig(TrueState(), Uniform()), EnvSpec({"image": ArraySpec((40, 40, 1), "uint8")}, ActionSpec(2)))


def test_it_is_refused_without_whole_episodes_of_its_own():
  run = build("local-lqr")
  uniform = dataclasses.replace(run.replay, draw="uniform")
  with pytest.raises(ValueError, match=r"Rewarded learns from whole episodes of its own, .* has none"):
    dataclasses.replace(run, schedule=BurstConfig(), replay=uniform)
  with pytest.raises(ValueError, match=r"in iterations of 1 updates, and the schedule has 2"):
    dataclasses.replace(run, schedule=IterationsConfig(updates=2))
  with pytest.raises(
    ValueError, match=r"expects 0 updates before .* and 0 older .* schedule.warmup=5 and replay.older=0: set both"
  ):
    dataclasses.replace(run, schedule=IterationsConfig(warmup=5))
  with pytest.raises(ValueError, match=r"replay.draw='uniform' does not go with schedule=IterationsConfig"):
    dataclasses.replace(run, replay=uniform)
  with pytest.raises(ValueError, match=r"replay.draw='newest' does not go with schedule=BurstConfig"):
    random = dataclasses.replace(run.agent, behavior=Uniform())
    dataclasses.replace(run, schedule=BurstConfig(), agent=random)
  with pytest.raises(ValueError, match=r"a restart cuts short with loop.resume='keep'"):
    dataclasses.replace(run, loop=dataclasses.replace(run.loop, resume="keep"))
  assert ReplayConfig().draw == "uniform"


def test_wrappers_say_what_their_inner_behaviour_needs():
  inner = LocalLQR(updates=3)
  assert Rewarded(inner, GoalDistance()).iteration == Exploring(Uniform(), inner).iteration == Iteration(updates=3)
  assert Rewarded(Uniform()).iteration is None
  assert isinstance(inner.build(F, SPEC, dtype=jnp.float32, rngs=None), LocalLQRModule)


@dataclasses.dataclass(frozen=True)
class Counting(Trajectory):
  """Keeps what it was given, in place of a better policy."""

  def improve(self, kept, states, actions, cost, prior=None):
    return {**kept, "iterations": kept["iterations"] + 1, "feedback": states.sum() * jnp.ones_like(kept["feedback"])}


def test_a_warmup_leaves_the_policy_alone_and_older_episodes_are_left_aside():
  config = LocalLQR(horizon=HORIZON, updates=2, warmup=3, older=1, trajectory=Counting())
  module, rng = config.build(F, SPEC, dtype=jnp.float32, rngs=None), np.random.default_rng(0)
  states = rng.normal(size=(2 * EPISODES, HORIZON + 1, F)).astype(np.float32)
  replayed = whole(states, np.zeros((2 * EPISODES, HORIZON + 1, ACTION), np.float32))
  losses = jax.jit(lambda slow: module.losses(slow, WORLD, {}, replayed, jax.random.key(0)).slow)
  slow, improved = module.init_slow(), []
  for _ in range(7):
    slow = losses(slow)
    improved.append(int(slow["trajectory"]["iterations"]))
  assert improved == [0, 0, 0, 0, 1, 1, 2]
  np.testing.assert_allclose(slow["trajectory"]["feedback"][0, 0, 0], states[::2].sum(), rtol=1e-4)
