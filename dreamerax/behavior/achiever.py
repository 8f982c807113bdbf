"""A behaviour that reaches goals, and that learns to from what was seen elsewhere in the replay (hindsight)."""

from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Behavior, BehaviorModule, Iteration, Replayed
from dreamerax.behavior.goals.observed import goal_names
from dreamerax.behavior.goals.relabel import Future, Relabel
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.rewarded import GoalRewardedModule
from dreamerax.behavior.rewards.base import Reward
from dreamerax.behavior.rewards.goal import GoalReward, GoalSimilarity
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class Achiever(Behavior):
  """Any behaviour, which gets the features of a goal beside those of the state and is paid for being near it.

  While acting, the environment shows the goal. While learning, `goals` names a step of the batch that counts as the goal
  of each step (Andrychowicz et al. 2017; in imagination: Mendonca et al. 2021). The behaviour imagines from each step
  towards its goal; where it learns from replayed steps too, their rewards are those of the same goals.
  """

  inner: Behavior = field(default_factory=ActorCritic)
  goals: Relabel = field(default_factory=Future)
  reward: Reward = field(default_factory=GoalSimilarity)

  @property
  def iteration(self) -> Iteration | None:
    return self.inner.iteration

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "AchieverModule":
    """Raises ValueError where the reward is not one of goals, or a goal is not shown as what is seen."""
    reward = self.reward.build(features, spec, dtype=dtype, rngs=rngs)
    if not isinstance(reward, GoalReward):
      name = type(self.reward).__name__
      raise ValueError(f"reward={name} knows no goal: give Achiever a GoalSimilarity, GoalDistance or TemporalDistance")
    inner = self.inner.build(2 * features, spec, dtype=dtype, rngs=rngs)
    return AchieverModule(inner, reward, goal_names(spec), features, self.goals)


class AchieverModule(GoalRewardedModule):
  """Built from `Achiever`; children "inner" and "reward"."""

  def __init__(self, inner: BehaviorModule, reward: GoalReward, goals: tuple[str, ...], size: int, relabel: Relabel):
    super().__init__(inner, reward, goals, size)
    self.relabel = relabel

  def replayed(self, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> tuple[Latent, Replayed]:
    """The goals are steps of the batch, seen alone."""
    glance_key, goal_key = jax.random.split(key)
    alone = jax.lax.stop_gradient(world.glance(replayed.embed, glance_key))  # [B, T, F]
    return self.towards(self.relabel.goals(alone, replayed.steps.is_first, goal_key), start, replayed)
