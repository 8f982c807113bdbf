"""A behaviour for several tasks on one world model: a vector says which, and the reward of any of them is known everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Optimizers, Replayed
from dreamerax.behavior.goals.world import with_goal, with_goals
from dreamerax.behavior.imagination import Latent, World, wrap
from dreamerax.behavior.rewarded import GoalRewardedModule
from dreamerax.behavior.rewards.goal import GoalReward
from dreamerax.nets.heads import ScalarHead, TwoHotHead
from dreamerax.nets.modules import Params, frozen
from dreamerax.ops.optimizers import LaProp, Optimizer
from dreamerax.ops.transforms import mean_where
from dreamerax.types import TASK, TASK_REWARDS, ArrayDict, EnvSpec


@dataclass(frozen=True)
class MultiTask(Behavior):
  """Any behaviour, told which of K tasks it is to do: it gets the one-hot task after the features of the state.

  The environment shows the hidden observations "event/task", the task that is under way, and "event/rewards", those of
  all K tasks. One head learns r(s, task) of every task from every step, and shapes the world model by it; the world
  model sees no task. Learning, each replayed step imagines a task drawn at random, so that data collected for one serves
  all. A planner follows the task that is shown.
  """

  inner: Behavior = field(default_factory=ActorCritic)
  reward: ScalarHead = field(default_factory=lambda: TwoHotHead(layers=1))
  optimizer: Optimizer = field(default_factory=LaProp)  # of the head

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "MultiTaskModule":
    """Raises ValueError where the environment does not show one task and the rewards of as many."""
    for name in (TASK, TASK_REWARDS):
      if name not in spec.observation:
        raise ValueError(
          f"MultiTask needs the observation {name!r}: choose a --task that has several, as tasks/walker does"
        )
    shapes = [spec.observation[name].shape for name in (TASK, TASK_REWARDS)]
    if shapes[0] != shapes[1] or len(shapes[0]) != 1:
      raise ValueError(
        f"observation {TASK!r} has the shape {list(shapes[0])}, and {TASK_REWARDS!r} {list(shapes[1])}: let both have an "
        "entry for each task"
      )
    (count,) = shapes[0]
    reward = TaskRewardsModule(self, features, count, dtype=dtype, rngs=rngs)
    inner = self.inner.build(features + count, spec, dtype=dtype, rngs=rngs)
    return MultiTaskModule(inner, reward, count)


class TaskRewardsModule(GoalReward):
  """The rewards of K tasks, of which the goal names one; child "head"."""

  def __init__(self, config: MultiTask, features: int, count: int, *, dtype: Any, rngs: nnx.Rngs):
    self.optimizer, self.count = config.optimizer, count
    self.head = config.reward.build(features + count, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array, goal: jax.Array) -> jax.Array:
    return self.head(_joined(features, goal)).mean()

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Minus the log-likelihood of all tasks' rewards, on average, except where an episode begins."""
    rewards = jnp.asarray(replayed.steps.observation[TASK_REWARDS])  # [B, T, K]
    features = jnp.repeat(replayed.features[..., None, :], self.count, -2)  # [B, T, K, F]
    tasks = jnp.broadcast_to(jnp.eye(self.count), (*rewards.shape, self.count))
    loss = -self.head(_joined(features, tasks)).log_prob(rewards).mean(-1)
    within = ~replayed.steps.is_first
    mean = mean_where(loss, within)
    return BehaviorLosses({"task_rewards": mean}, slow, {})

  @property
  def optimizers(self) -> Optimizers:
    return {"head": self.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"task_rewards": 1.0}


class MultiTaskModule(GoalRewardedModule):
  """Built from `MultiTask`; children "inner" and "reward". The goal is the one-hot task."""

  def __init__(self, inner: BehaviorModule, reward: TaskRewardsModule, count: int):
    super().__init__(inner, reward, (TASK,), count)

  def rewarded(self, world: World) -> World:
    reward = frozen(self.reward)

    def toward(each: World) -> World:
      def glance(embed: jax.Array, key: jax.Array) -> jax.Array:
        """A state that is seen alone has no task."""
        features = each.glance(embed, key)
        return _joined(features, jnp.zeros((*features.shape[:-1], self.goal_size)))

      return with_goals(each, reward, self.goal_size)._replace(glance=glance)

    return wrap(world, toward)

  def replayed(self, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> tuple[Latent, Replayed]:
    """Every step has a task at random, and the reward that the environment gave for it."""
    steps = replayed.steps
    drawn = jax.random.randint(key, steps.is_first.shape, 0, self.goal_size)
    task = jax.nn.one_hot(drawn, self.goal_size)  # [B, T, K]
    reward = jnp.where(steps.is_first, 0, (task * steps.observation[TASK_REWARDS]).sum(-1))
    paid = replayed._replace(features=_joined(replayed.features, task), steps=steps._replace(reward=reward))
    return with_goal(start, jax.lax.collapse(task, 0, 2)), paid

  def _goal(self, world: World, observation: ArrayDict, key: jax.Array) -> jax.Array:
    return jnp.asarray(observation[TASK])


def _joined(features: jax.Array, task: jax.Array) -> jax.Array:
  """[..., F], [..., K] -> [..., F + K]."""
  return jnp.concatenate([features, task.astype(features.dtype)], -1)
