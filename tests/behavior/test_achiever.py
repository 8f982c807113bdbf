"""A behaviour that learns to reach steps of the batch: its goals, its rewards, and that it comes to reach them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.achiever import Achiever, AchieverModule
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.base import Replayed, Situation
from dreamerax.behavior.goals.relabel import Final, Shuffled
from dreamerax.behavior.rewards.goal import GoalDistance, GoalSimilarity
from dreamerax.behavior.rewards.task import TaskReward
from dreamerax.nets.heads import ActorHead, TwoHotHead
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T = 2, 5
X = ArraySpec((F,))
SPEC = EnvSpec({"x": X, "goal/x": X}, ActionSpec(ACTION))
WORLD = make_world(0.5)._replace(glance=lambda embed, key: 10 * embed)  # what is seen alone looks different
ACTOR_CRITIC = ActorCritic(actor=ActorHead(layers=1, units=5), critic=TwoHotHead(layers=1, units=5, bins=11), horizon=3)


def build(config: Achiever) -> AchieverModule:
  return config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch(seed: int = 0) -> tuple[Any, Any]:
  rng = np.random.default_rng(seed)
  x, embed, action, shown = rng.normal(size=(4, B, T, F)).astype(np.float32)
  is_first = np.array([[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]], bool)
  steps = Transition({"goal/x": shown}, action, np.ones((B, T), np.float32), is_first, *np.zeros((2, B, T), bool))
  return {"x": x.reshape(B * T, F)}, Replayed(x, embed, steps)


def test_the_goal_of_a_step_is_the_last_of_its_episode_seen_alone():
  start, replayed = batch()
  latent, paid = build(Achiever(ACTOR_CRITIC, Final(), GoalDistance(2.0))).replayed(
    WORLD, start, replayed, jax.random.key(0)
  )
  ends = [[1, 1, 4, 4, 4], [4] * T]
  for b in range(B):
    for t in range(T):
      goal, here = 10 * replayed.embed[b, ends[b][t]], replayed.features[b, t]
      np.testing.assert_allclose(paid.features[b, t], np.concatenate([here, goal]), rtol=1e-6)
      np.testing.assert_allclose(latent["goal"][b * T + t], goal, rtol=1e-6)
      worth = 0 if replayed.steps.is_first[b, t] else -2 * np.square(here - goal).sum()
      assert paid.steps.reward[b, t] == pytest.approx(worth, rel=1e-5)
  assert latent["world"] is start


def test_while_acting_the_environment_shows_the_goal():
  module = build(Achiever(ACTOR_CRITIC, Shuffled(), GoalSimilarity()))
  goal: Any = np.array([[1.0, 2.0]], np.float32)
  seen = plain.call(
    module,
    lambda each: each.act(
      WORLD, Situation({"x": jnp.asarray(goal - 3)}, {}, {"goal/x": goal}, {}), jax.random.key(0), explore=False
    )[0],
  )
  expected = plain.call(module, lambda each: each.inner.actor(jnp.concatenate([goal - 3, 10 * goal], -1)).mode())
  np.testing.assert_allclose(seen, expected, rtol=1e-6)
  assert module.needs == ("goal/x",)


def test_what_it_learns_gives_the_goals_no_gradient_and_follows_the_relabelled_goal():
  module = build(Achiever(ACTOR_CRITIC, Final(), GoalDistance()))
  start, replayed = batch()

  def total(features, embed):
    inside = replayed._replace(features=features, embed=embed)
    found = module.losses(module.init_slow(), WORLD, start, inside, jax.random.key(0))
    return sum(found.losses.values())

  to_features, to_embed = jax.jit(jax.grad(total, (0, 1)))(replayed.features, replayed.embed)
  assert np.isfinite(to_features).all() and not np.any(to_embed)
  moved = replayed.embed.copy()
  moved[1, -1] += 1  # the goal of the whole row
  assert jax.jit(total)(replayed.features, moved) != jax.jit(total)(replayed.features, replayed.embed)


@pytest.mark.slow
def test_it_comes_to_reach_goals_that_it_never_was_shown():
  """A point that an action moves by up to a half; the batch holds places and no goal."""
  world = make_world(0.5)._replace(continues=lambda features: jnp.full(features.shape[:-1], 0.9))
  actor_critic = ActorCriticV2(
    actor=ActorHead(layers=2, units=32), critic=TwoHotHead(layers=2, units=32, bins=41), horizon=4
  )
  module = build(Achiever(actor_critic, Shuffled(), GoalDistance()))
  params: Any = params_of(module)
  slow, optimizer = module.init_slow(), optax.adam(3e-3)

  @jax.jit
  def update(params: Any, slow: Any, state: Any, updates: Any) -> tuple[Any, Any, Any]:
    key = jax.random.fold_in(jax.random.key(0), updates)
    x = jax.random.uniform(key, (8, 8, F), minval=-1, maxval=1)
    none = jnp.zeros((8, 8), bool)
    steps = Transition({}, jnp.zeros((8, 8, ACTION)), none.astype(jnp.float32), none, none, none)

    def loss(params):
      found = with_params(module, params).losses(slow, world, {"x": x.reshape(64, F)}, Replayed(x, x, steps), key)
      return sum(found.losses.values()), found.slow

    gradient, after = jax.grad(loss, has_aux=True)(params)
    changes, state = optimizer.update(gradient, state)
    params = optax.apply_updates(params, changes)
    return params, with_params(module, params).update_slow(after, updates), state

  state = optimizer.init(params)
  for updates in range(300):
    params, slow, state = update(params, slow, state, updates)
  learned = with_params(module, params)
  rng = np.random.default_rng(1)
  latent: Any
  latent, goal = {"x": rng.uniform(-0.8, 0.8, (50, F)).astype(np.float32)}, rng.uniform(-0.8, 0.8, (50, F))
  hidden = {"goal/x": goal.astype(np.float32)}
  act = jax.jit(lambda latent: learned.act(world, Situation(latent, {}, hidden, {}), jax.random.key(0), explore=False))
  before = np.linalg.norm(latent["x"] - goal, axis=-1).mean()
  for _ in range(6):
    latent = world.expect(latent, act(latent)[0])
  assert np.linalg.norm(latent["x"] - goal, axis=-1).mean() < before / 4


def test_a_reward_that_knows_no_goal_is_refused():
  with pytest.raises(ValueError, match="reward=TaskReward knows no goal: give Achiever a GoalSimilarity"):
    build(Achiever(ACTOR_CRITIC, Final(), TaskReward()))
