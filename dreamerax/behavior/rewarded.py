"""A behaviour with another reward than the task's."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import (
  Behavior,
  BehaviorLosses,
  BehaviorModule,
  Iteration,
  Memory,
  Optimizers,
  Replayed,
  Situation,
)
from dreamerax.behavior.goals.observed import goal_features, goal_names
from dreamerax.behavior.goals.world import with_goal, with_goals
from dreamerax.behavior.imagination import Latent, World, wrap
from dreamerax.behavior.rewards.base import Reward, RewardModule, StateReward, TransitionReward
from dreamerax.behavior.rewards.goal import GoalReward
from dreamerax.behavior.rewards.task import TaskReward
from dreamerax.nets.modules import Params, frozen
from dreamerax.ops.transforms import symexp, symlog
from dreamerax.types import ActionSpec, ArrayDict, EnvSpec


@dataclass(frozen=True)
class Rewarded(Behavior):
  """Any behaviour, in a world that has another reward: `inner` learns and plans as ever, and `reward` learns beside it.

  A reward of transitions is known on arriving and not from the state alone. It is then the last of the features that
  `inner` gets, whose values may include the reward of their own state. With a reward of goals, `inner` gets the features
  of the goal after those of the state.
  """

  inner: Behavior = field(default_factory=ActorCritic)
  reward: Reward = field(default_factory=TaskReward)

  def kept_offline(self, action: ActionSpec) -> bool:
    return self.inner.kept_offline(action)

  @property
  def iteration(self) -> Iteration | None:
    return self.inner.iteration

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "RewardedModule":
    """Raises ValueError where the reward names a loss as the behaviour does, or a goal is not shown as what is seen."""
    reward = self.reward.build(features, spec, dtype=dtype, rngs=rngs)
    if isinstance(reward, StateReward):
      return StateRewardedModule(self.inner.build(features, spec, dtype=dtype, rngs=rngs), reward)
    if isinstance(reward, GoalReward):
      inner = self.inner.build(2 * features, spec, dtype=dtype, rngs=rngs)
      return GoalRewardedModule(inner, reward, goal_names(spec), features)
    assert isinstance(reward, TransitionReward), type(reward)
    inner = self.inner.build(features + 1, spec, dtype=dtype, rngs=rngs)
    return TransitionRewardedModule(inner, reward, features, spec.action.size)


class RewardedModule(BehaviorModule):
  """Children "inner" and "reward", which have the losses, optimisers and slow states of both."""

  reward: RewardModule

  def __init__(self, inner: BehaviorModule, reward: RewardModule):
    self.inner, self.reward = inner, reward
    both = inner.scales.keys() & reward.scales.keys()
    if both:
      raise ValueError(f"behaviour and reward both have a loss called {min(both)!r}: rename the reward's")

  @abc.abstractmethod
  def rewarded(self, world: World) -> World:
    """The world that the inner behaviour gets; it gives no gradient to the reward's parameters."""

  @abc.abstractmethod
  def replayed(self, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> tuple[Latent, Replayed]:
    """Start and replayed batch of `losses`, as they are in that world."""

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    inner_key, reward_key, goal_key = jax.random.split(key, 3)
    own = self.reward.losses(slow["reward"], world, start, replayed, reward_key)
    start, replayed = self.replayed(world, start, replayed, goal_key)
    inner = self.inner.losses(slow["inner"], self.rewarded(world), start, replayed, inner_key)
    slow = {"inner": inner.slow, "reward": own.slow}
    return BehaviorLosses(inner.losses | own.losses, slow, inner.metrics | own.metrics)

  def initial_memory(self, num_envs: int) -> Memory:
    return self.inner.initial_memory(num_envs)

  @property
  def needs(self) -> tuple[str, ...]:
    return self.inner.needs

  @property
  def events(self) -> tuple[str, ...]:
    return tuple(dict.fromkeys(self.inner.events + self.reward.events))

  def acting(self, slow: Params) -> Params:
    return self.inner.acting(slow["inner"])

  def init_slow(self) -> Params:
    return {"inner": self.inner.init_slow(), "reward": self.reward.init_slow()}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    inner = self.inner.update_slow(slow["inner"], updates)
    return {"inner": inner, "reward": self.reward.update_slow(slow["reward"], updates)}

  @property
  def optimizers(self) -> Optimizers:
    both = {"inner": self.inner.optimizers, "reward": self.reward.optimizers}
    return {name: each for name, each in both.items() if each}

  @property
  def scales(self) -> Mapping[str, float]:
    return {**self.inner.scales, **self.reward.scales}


class StateRewardedModule(RewardedModule):
  """`Rewarded` by the state that is reached."""

  reward: StateReward

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    return self.inner.act(self.rewarded(world), now, key, explore=explore)

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    return self.inner.follow(self.rewarded(world), now, action, key)

  def value(self, features: jax.Array) -> jax.Array | None:
    return self.inner.value(features)

  def rewarded(self, world: World) -> World:
    reward = frozen(self.reward)
    return wrap(world, lambda each: each._replace(reward=lambda features: reward(world, features)))

  def replayed(self, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> tuple[Latent, Replayed]:
    reward = jax.lax.stop_gradient(self.reward(world, replayed.features))  # [B, T]
    return start, _with_reward(replayed, reward)


class TransitionRewardedModule(RewardedModule):
  """`Rewarded` by the state that is left and the action.

  The reward on arriving is part of the latent, and its symlog is the last feature. While acting, the memory has what it
  needs of the step before.
  """

  reward: TransitionReward

  def __init__(self, inner: BehaviorModule, reward: TransitionReward, features: int, action: int):
    super().__init__(inner, reward)
    self.sizes = (features, action)

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    action, inner = self.inner.act(self.rewarded(world), self._inside(now), key, explore=explore)
    return action, self._remembered(world, now, action, inner)

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    inner = self.inner.follow(self.rewarded(world), self._inside(now), action, key)
    return self._remembered(world, now, action, inner)

  def initial_memory(self, num_envs: int) -> Memory:
    features, action = (jnp.zeros((num_envs, size)) for size in self.sizes)
    inner = self.inner.initial_memory(num_envs)
    return {"inner": inner, "features": features, "action": action, "age": jnp.zeros(num_envs, jnp.int32)}

  def rewarded(self, world: World) -> World:
    reward = frozen(self.reward)
    return wrap(world, lambda each: _with_arrival(each, reward))

  def replayed(self, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> tuple[Latent, Replayed]:
    """The first step of a sequence has no known step before it, and the reward 0, as the first of an episode."""
    features = jax.lax.stop_gradient(replayed.features)
    later = self.reward(features[:, :-1], replayed.steps.action[:, 1:])
    arrival = jax.lax.stop_gradient(jnp.pad(later, ((0, 0), (1, 0))))  # [B, T]
    paid = _with_reward(replayed, arrival)
    arrival = paid.steps.reward
    widened = _widened(replayed.features, arrival)
    return _joined(start, arrival.reshape(-1)), paid._replace(features=widened)

  def _inside(self, now: Situation) -> Situation:
    """The situation of the inner behaviour."""
    before = now.memory
    arrival = jnp.where(before["age"] > 0, self.reward(before["features"], before["action"]), 0)  # [E]
    return now._replace(latent=_joined(now.latent, arrival), memory=before["inner"])

  def _remembered(self, world: World, now: Situation, action: jax.Array, inner: Memory) -> Memory:
    features = world.features(now.latent).astype(jnp.float32)
    return {"inner": inner, "features": features, "action": action, "age": now.memory["age"] + 1}


class GoalRewardedModule(RewardedModule):
  """`Rewarded` by the state that is reached and the goal that the environment shows.

  The goal's features are part of the latent, and stay as they are in imagination.
  """

  reward: GoalReward

  def __init__(self, inner: BehaviorModule, reward: GoalReward, goals: tuple[str, ...], size: int):
    """goals: names of the observations that show the goal. size: how many features it has."""
    super().__init__(inner, reward)
    self.goals, self.goal_size = goals, size

  @property
  def needs(self) -> tuple[str, ...]:
    return tuple(dict.fromkeys(self.inner.needs + self.goals))

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    goal_key, inner_key = jax.random.split(key)
    return self.inner.act(self.rewarded(world), self._inside(world, now, goal_key), inner_key, explore=explore)

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    goal_key, inner_key = jax.random.split(key)
    return self.inner.follow(self.rewarded(world), self._inside(world, now, goal_key), action, inner_key)

  def rewarded(self, world: World) -> World:
    return with_goals(world, frozen(self.reward), self.goal_size)

  def replayed(self, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> tuple[Latent, Replayed]:
    """The goals are those that the environment showed."""
    goal = jax.lax.stop_gradient(self._goal(world, replayed.steps.observation, key))  # [B, T, F]
    return self.towards(goal, start, replayed)

  def towards(self, goal: jax.Array, start: Latent, replayed: Replayed) -> tuple[Latent, Replayed]:
    """Start and replayed batch with the features [B, T, G] of each step's goal, and the rewards of reaching it."""
    reward = jax.lax.stop_gradient(self.reward(replayed.features, goal))
    paid = _with_reward(replayed, reward)
    features = jnp.concatenate([replayed.features, goal], -1)
    return with_goal(start, jax.lax.collapse(goal, 0, 2)), paid._replace(features=features)

  def _inside(self, world: World, now: Situation, key: jax.Array) -> Situation:
    """The situation of the inner behaviour."""
    return now._replace(latent=with_goal(now.latent, self._goal(world, now.hidden, key)))

  def _goal(self, world: World, observation: ArrayDict, key: jax.Array) -> jax.Array:
    """Features [..., G] of the goal that an observation shows."""
    return goal_features(world, {name: observation[name] for name in self.goals}, key)


def _with_arrival(world: World, reward: TransitionReward) -> World:
  """The world whose latents hold the reward on arriving, as `_joined` makes them."""

  def arrival(latent: Any, action: jax.Array) -> jax.Array:
    return reward(world.features(latent["world"]), action)

  def step(latent: Any, action: jax.Array, key: jax.Array) -> Latent:
    return _joined(world.step(latent["world"], action, key), arrival(latent, action))

  def expect(latent: Any, action: jax.Array) -> Latent:
    return _joined(world.expect(latent["world"], action), arrival(latent, action))

  def glance(embed: jax.Array, key: jax.Array) -> jax.Array:
    features = world.glance(embed, key)
    return _widened(features, jnp.zeros(features.shape[:-1]))

  return world._replace(
    step=step,
    expect=expect,
    features=lambda latent: _widened(world.features(latent["world"]), latent["arrival"][..., 0]),
    reward=lambda features: symexp(features[..., -1].astype(jnp.float32)),
    continues=lambda features: world.continues(features[..., :-1]),
    glance=glance,
    event_probabilities=lambda features: world.event_probabilities(features[..., :-1]),
  )


def _with_reward(replayed: Replayed, reward: jax.Array) -> Replayed:
  """`replayed` with another reward [B, T], but none where an episode begins."""
  reward = jnp.where(replayed.steps.is_first, 0, reward)
  return replayed._replace(steps=replayed.steps._replace(reward=reward))


def _joined(latent: Any, arrival: jax.Array) -> Any:
  """A latent [...] of the rewarded world: one of the world's, and the reward [...] on arriving there."""
  return {"world": latent, "arrival": arrival[..., None]}


def _widened(features: jax.Array, arrival: jax.Array) -> jax.Array:
  """[..., F], [...] -> [..., F + 1]; the reward in symlog space, as vectors are seen."""
  return jnp.concatenate([features, symlog(arrival)[..., None].astype(features.dtype)], -1)
