"""Rewards of a goal that the environment shows, alone and in a behaviour."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Replayed, Situation
from dreamerax.behavior.planners.ilqr import ILQR
from dreamerax.behavior.planners.shooting import Shooting
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import GoalRewardedModule, Rewarded
from dreamerax.behavior.rewards.goal import GoalDistance, GoalSimilarity
from dreamerax.nets.heads import ActorHead, TwoHotHead
from dreamerax.nets.modules import params_of
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T = 2, 4
X = ArraySpec((F,))
SPEC = EnvSpec({"x": X, "goal/x": X, "event/hit": X}, ActionSpec(ACTION))
WORLD = make_world(0.5)
ACTOR_CRITIC = ActorCritic(actor=ActorHead(layers=1, units=5), critic=TwoHotHead(layers=1, units=5, bins=11), horizon=3)


def build(config, spec: EnvSpec = SPEC) -> GoalRewardedModule:
  return config.build(F, spec, dtype=jnp.float32, rngs=nnx.Rngs(0))


def test_distance_and_similarity_equal_loops():
  rng = np.random.default_rng(0)
  features, goal = rng.normal(size=(2, 3, 4, F)).astype(np.float32)
  distance, similarity = build(GoalDistance(scale=3.0)), build(GoalSimilarity())
  for index in np.ndindex(3, 4):
    one, other = features[index], goal[index]
    gap = sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
    angle = np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other))
    assert distance(features, goal)[index] == pytest.approx(-3 * gap, rel=1e-5)
    assert similarity(features, goal)[index] == pytest.approx(angle, rel=1e-4)
  nowhere = jnp.zeros(F)
  assert similarity(nowhere, nowhere) == 0 and not np.any(jax.grad(lambda x: similarity(x, x))(nowhere))
  with pytest.raises(ValueError, match="scale=0 must be more than 0"):
    GoalDistance(scale=0)


@pytest.mark.parametrize("planner", [Shooting(horizon=2, candidates=1000), ILQR(horizon=2, candidates=8, iterations=4)])
def test_a_planner_goes_to_the_goal_that_each_environment_shows(planner):
  """From (1, -1) the state can be moved by 0.5 along each axis in a step, and decays by a tenth."""
  module = build(Rewarded(Planning(planner), GoalDistance()))
  goals = np.array([[1.2, -1.2], [0.5, -0.6], [1.1, -0.7]], np.float32)
  latent, memory = {"x": jnp.tile(jnp.array([1.0, -1.0]), (3, 1))}, module.initial_memory(3)
  hidden = {"goal/x": goals, "event/hit": goals}

  @jax.jit
  def act(latent, memory):
    return module.act(WORLD, Situation(latent, memory, hidden, {}), jax.random.key(0), explore=False)

  for _ in range(4):
    action, memory = act(latent, memory)
    latent = WORLD.expect(latent, action)
  np.testing.assert_allclose(latent["x"], goals, atol=0.15)
  assert module.needs == ("goal/x",)


def test_imagination_keeps_the_goal():
  world = build(Rewarded(ACTOR_CRITIC, GoalDistance(2.0))).rewarded(WORLD)
  rng = np.random.default_rng(1)
  x, goal, action = rng.normal(size=(3, 5, F)).astype(np.float32)
  latent = {"world": {"x": x}, "goal": goal}
  there = WORLD.expect({"x": x}, action)["x"]
  for after in (world.step(latent, action, jax.random.key(0)), world.expect(latent, action)):
    features = world.features(after)
    np.testing.assert_array_equal(features, np.concatenate([there, goal], -1))
    np.testing.assert_allclose(world.reward(features), -2 * np.square(there - goal).sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(world.continues(features), WORLD.continues(there))


def test_a_behaviour_learns_towards_the_goals_of_the_replay():
  module = build(Rewarded(ACTOR_CRITIC, GoalDistance()))
  rng = np.random.default_rng(2)
  x, goal, action = rng.normal(size=(3, B, T, F)).astype(np.float32)
  is_first = np.array([[0, 0, 1, 0], [0, 0, 0, 0]], bool)
  steps = Transition(
    {"x": x, "goal/x": goal}, action, np.ones((B, T), np.float32), is_first, *np.zeros((2, B, T), bool)
  )
  start = {"x": x.reshape(B * T, F)}
  latent, paid = module.replayed(WORLD, start, Replayed(x, x, steps), jax.random.key(0))
  np.testing.assert_array_equal(latent["goal"], goal.reshape(B * T, F))
  np.testing.assert_array_equal(paid.features, np.concatenate([x, goal], -1))
  expected = np.where(is_first, 0, -np.square(x - goal).sum(-1))
  np.testing.assert_allclose(paid.steps.reward, expected, rtol=1e-5)
  losses = plain.call(
    module, lambda each: each.losses(each.init_slow(), WORLD, start, Replayed(x, x, steps), jax.random.key(0))
  ).losses
  assert set(losses) == {"actor", "critic", "replay_value"} and all(np.isfinite(x).all() for x in losses.values())


def test_a_goal_that_is_not_seen_as_states_are_is_refused():
  assert not params_of(build(Rewarded(Planning(Shooting()), GoalDistance())))
  with pytest.raises(ValueError, match=r"'goal/x' is float32 \[3\], and 'x' is float32 \[2\]"):
    build(Rewarded(Planning(Shooting()), GoalDistance()), EnvSpec({"x": X, "goal/x": ArraySpec((3,))}, SPEC.action))
