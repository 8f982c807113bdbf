"""A behaviour with another reward: what it is told, where gradients go, and where it is drawn to."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Replayed, Situation
from dreamerax.behavior.planners.shooting import Shooting
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.policy_gradient import Pathwise
from dreamerax.behavior.rewarded import Rewarded, TransitionRewardedModule
from dreamerax.behavior.rewards.base import Reward, StateReward, TransitionReward
from dreamerax.behavior.rewards.disagreement import Disagreement
from dreamerax.behavior.rewards.task import TaskReward
from dreamerax.dynamics.base import reset_where
from dreamerax.nets.heads import ActorHead, TwoHotHead
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T = 2, 4
SPEC = EnvSpec({}, ActionSpec(ACTION))
ACTOR_CRITIC = ActorCritic(
  actor=ActorHead(layers=1, units=5), critic=TwoHotHead(layers=1, units=5, bins=11), gradient=Pathwise(), horizon=3
)
WORLD = make_world(0.5)


@dataclass(frozen=True)
class Pull(Reward):
  """Ten times what the action adds to the state's first entry: known of the transition alone."""

  loss: str = "pull"

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "PullModule":
    return PullModule(self.loss)


class PullModule(TransitionReward):
  def __init__(self, loss: str):
    self.loss = loss
    self.factor = nnx.Param(jnp.full((), 10.0))

  def __call__(self, features: jax.Array, action: jax.Array) -> jax.Array:
    return self.factor[...] * (features[..., 0] + action[..., 0])

  @property
  def scales(self):
    return {self.loss: 1.0}

  def losses(self, slow, world, start, replayed, key) -> BehaviorLosses:
    return BehaviorLosses({self.loss: self.factor[...] * replayed.steps.reward.sum()}, slow, {})


@dataclass(frozen=True)
class Near(Reward):
  """How near the state's second entry is to a place."""

  place: float = 2.0

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "NearModule":
    return NearModule(self.place)


class NearModule(StateReward):
  def __init__(self, place: float):
    self.place = nnx.Param(jnp.full((), place))

  def __call__(self, world, features: jax.Array) -> jax.Array:
    return -jnp.square(features[..., 1] - self.place[...])


def build(config: Behavior):
  return config.build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch(seed: int = 0) -> tuple[dict, Replayed]:
  """Start latents [B T, F] and a replayed batch, in which one episode begins."""
  rng = np.random.default_rng(seed)
  x, action = (rng.normal(size=(B, T, size)).astype(np.float32) for size in (F, ACTION))
  is_first = np.array([[0, 0, 1, 0], [0, 0, 0, 0]], bool)
  action[is_first] = 0
  steps = Transition({}, action, rng.normal(size=(B, T)).astype(np.float32), is_first, *np.zeros((2, B, T), bool))
  return {"x": x.reshape(B * T, F)}, Replayed(x, x, steps)


def losses(module: BehaviorModule, start: dict, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
  return plain.call(module, lambda each: each.losses(each.init_slow(), WORLD, start, replayed, key))


def test_with_the_tasks_reward_it_is_the_behaviour_alone():
  alone, rewarded = build(ACTOR_CRITIC), build(Rewarded(ACTOR_CRITIC, TaskReward()))
  start, replayed = batch()
  steps = replayed.steps._replace(reward=np.where(replayed.steps.is_first, 0, WORLD.reward(replayed.features)))
  key = jax.random.key(3)
  found = losses(rewarded, start, replayed, key)
  expected = losses(alone, start, replayed._replace(steps=steps), jax.random.split(key)[0])
  jax.tree.map(np.testing.assert_array_equal, found.losses, expected.losses)
  jax.tree.map(np.testing.assert_array_equal, found.slow["inner"], expected.slow)
  np.testing.assert_array_equal(rewarded.value(replayed.features), alone.value(replayed.features))


@pytest.mark.parametrize(("reward", "entry", "sign"), [(Pull(), 0, 1), (Near(2.0), 1, 1), (Near(-2.0), 1, -1)])
def test_a_planner_does_what_its_reward_pays_for(reward: Reward, entry: int, sign: int):
  """In this world the task's reward is the first entry of the state alone."""
  module = build(Rewarded(Planning(Shooting(horizon=2, candidates=500)), reward))
  latent, memory = {"x": jnp.zeros((3, F))}, module.initial_memory(3)
  action, after = jax.jit(lambda *args: module.act(WORLD, Situation(*args, {}, {}), jax.random.key(0), explore=True))(
    latent, memory
  )
  assert (sign * action[:, entry] > 0.8).all()
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, memory)


def test_a_reward_of_transitions_arrives_with_the_next_state_and_is_its_last_feature():
  world = build(Rewarded(ACTOR_CRITIC, Pull())).rewarded(WORLD)
  start, replayed = batch()
  action = replayed.steps.action.reshape(B * T, ACTION)
  latent = {"world": start, "arrival": jnp.zeros((B * T, 1))}
  there = WORLD.step(start, action, jax.random.key(0))
  for after in (world.step(latent, action, jax.random.key(0)), world.expect(latent, action)):
    features, expected = world.features(after), 10 * (start["x"][:, 0] + action[:, 0])
    np.testing.assert_allclose(world.reward(features), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features[:, :F], there["x"], rtol=1e-6)
    np.testing.assert_allclose(features[:, F], np.sign(expected) * np.log1p(np.abs(expected)), rtol=1e-5)
    np.testing.assert_array_equal(world.continues(features), WORLD.continues(there["x"]))


def test_replayed_transitions_are_paid_where_the_step_before_is_of_the_same_episode():
  module = build(Rewarded(ACTOR_CRITIC, Pull()))
  start, replayed = batch()
  latent, paid = module.replayed(WORLD, start, replayed, jax.random.key(0))
  x, action = replayed.features, replayed.steps.action
  expected = np.zeros((B, T))
  for b in range(B):
    for t in range(1, T):
      if not replayed.steps.is_first[b, t]:
        expected[b, t] = 10 * (x[b, t - 1, 0] + action[b, t, 0])
  np.testing.assert_allclose(paid.steps.reward, expected, rtol=1e-5)
  np.testing.assert_allclose(latent["arrival"][:, 0], expected.reshape(-1), rtol=1e-5)
  np.testing.assert_array_equal(paid.features[..., :F], x)
  np.testing.assert_allclose(paid.features[..., F], np.sign(expected) * np.log1p(np.abs(expected)), rtol=1e-5)


def test_a_reward_of_states_is_replayed_but_not_where_an_episode_begins():
  module = build(Rewarded(ACTOR_CRITIC, Near()))
  start, replayed = batch()
  latent, paid = module.replayed(WORLD, start, replayed, jax.random.key(0))
  expected = np.where(replayed.steps.is_first, 0, -np.square(replayed.features[..., 1] - 2))
  np.testing.assert_allclose(paid.steps.reward, expected, rtol=1e-5)
  assert latent is start and paid.features is replayed.features


def test_while_acting_the_reward_is_that_of_the_step_before():
  seen = []

  class Spy(TransitionRewardedModule):
    def rewarded(self, world):
      inner = super().rewarded(world)
      return inner._replace(features=lambda latent: seen.append(latent["arrival"]) or inner.features(latent))

  built = build(Rewarded(ACTOR_CRITIC, Pull()))
  module = Spy(built.inner, built.reward, F, ACTION)
  memory = module.initial_memory(2)
  x = np.random.default_rng(0).normal(size=(2, F)).astype(np.float32)
  action, memory = module.act(WORLD, Situation({"x": x}, memory, {}, {}), jax.random.key(0), explore=True)
  begun = reset_where(np.array([False, True]), memory)  # an episode begins in the second
  module.act(WORLD, Situation({"x": x}, begun, {}, {}), jax.random.key(1), explore=True)
  np.testing.assert_array_equal(seen[0], np.zeros((2, 1)))
  np.testing.assert_allclose(seen[1][:, 0], [10 * (x[0, 0] + action[0, 0]), 0], rtol=1e-5)


@pytest.mark.parametrize("reward", [Pull(), Near()])
def test_behaviour_and_reward_learn_apart(reward: Reward):
  module, _ = plain.randomised(lambda: build(Rewarded(ACTOR_CRITIC, reward)))
  start, replayed = batch()

  def losses(params):
    bound = with_params(module, params)
    return bound.losses(bound.init_slow(), WORLD, start, replayed, jax.random.key(0)).losses

  jacobian = jax.jit(jax.jacrev(losses))(params_of(module))
  touched = {
    name: {part for part in ("inner", "reward") if any(np.any(x) for x in jax.tree.leaves(gradient[part]))}
    for name, gradient in jacobian.items()
  }
  assert touched.pop("pull", {"reward"}) == {"reward"}
  assert touched == {name: {"inner"} for name in ("actor", "critic", "replay_value")}


def test_a_loss_of_the_same_name_is_refused():
  with pytest.raises(ValueError, match="behaviour and reward both have a loss called 'actor': rename the reward's"):
    build(Rewarded(ACTOR_CRITIC, Pull(loss="actor")))


def test_a_planner_that_seeks_disagreement_sees_more_than_chance():
  """A point in a box that moves little in a step, and an ensemble that learns from where it has been."""
  steps = 200
  world = make_world(0)._replace(step=lambda latent, action, key: move(latent, action), expect=move)
  ensemble = Disagreement(members=5, layers=1, units=32)
  module = build(Rewarded(Planning(Shooting(horizon=8, candidates=64)), ensemble))
  params, optimizer = params_of(module), optax.adam(1e-2)

  @jax.jit
  def turn(params, state, x, memory, past, filled, key):
    """One step of the planner, and one of the ensemble on all steps so far."""

    def loss(params):
      reward = with_params(module, params).reward
      predicted = reward.ensemble(past[:-1, :F], past[1:, F:])
      return (jnp.square(predicted - past[1:, :F]).sum(-1).mean(0) * filled[1:]).sum() / filled.sum()

    updates, state = optimizer.update(jax.grad(loss)(params), state)
    params = optax.apply_updates(params, updates)
    action, memory = with_params(module, params).act(world, Situation({"x": x}, memory, {}, {}), key, explore=True)
    return params, state, action, memory

  state, memory, x = optimizer.init(params), module.initial_memory(1), jnp.zeros((1, F))
  past, filled = np.zeros((steps + 1, F + ACTION), np.float32), np.zeros(steps + 1, np.float32)
  filled[0] = 1
  for t in range(steps):
    params, state, action, memory = turn(params, state, x, memory, past, filled, jax.random.key(t))
    x = move({"x": x}, action)["x"]
    past[t + 1], filled[t + 1] = np.concatenate([x[0], action[0]]), 1
  by_chance = []
  for seed in range(5):
    actions, at = np.random.default_rng(seed).uniform(-1, 1, (steps, ACTION)), [np.zeros(F)]
    for each in actions:
      at.append(np.clip(at[-1] + 0.2 * each, -2, 2))
    by_chance.append(cells(np.stack(at)))
  assert cells(past[:, :F]) > 1.5 * max(by_chance)


def move(latent, action):
  return {"x": jnp.clip(latent["x"] + 0.2 * action, -2, 2)}


def cells(x: np.ndarray) -> int:
  """Of 20 x 20 in the box, those that were visited."""
  return len(np.unique(np.floor(x / 0.2), axis=0))
