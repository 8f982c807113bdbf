"""A planner as a behaviour: every decision searches the world model for the best actions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.actor_critic_base import ActorCriticBase
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Optimizers, Replayed, Situation
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.planners.base import Planner, Problem, shift
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planners.members import over_members
from dreamerax.nets.modules import Params
from dreamerax.types import ActionSpec, EnvSpec


@dataclass(frozen=True)
class Planning(Behavior):
  """Model-predictive control in latent space (Hafner et al. 2019): plan, execute the first action, look, plan again.

  A plan is worth the sum of the mean rewards along one sampled latent rollout; where the world model is an ensemble, along
  one of each member, on average. The end of an episode is not foreseen.
  """

  planner: Planner = field(default_factory=CEM)
  replan_every: int = 1  # decisions that a plan serves; as many as the planner's horizon is open loop
  discount: float = 1.0  # of planned rewards per agent step; the published planner has none
  final_weight: float = 1.0  # of the last planned reward beside the others
  guide: ActorCriticBase | None = None  # learns beside the planner; its critic then values the state at the horizon

  def __post_init__(self):
    checks.between(1, self.planner.horizon, self, "replan_every")
    checks.between(0, 1, self, "discount")
    checks.at_least(0, self, "final_weight")

  def kept_offline(self, action: ActionSpec) -> bool:
    return self.guide is None and not action.discrete

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "PlanningModule":
    """Raises ValueError for discrete actions, which these planners do not search."""
    return PlanningModule(self, features, spec, dtype=dtype, rngs=rngs)


class PlanningModule(BehaviorModule):
  """Built from `Planning`; its memory is the plan, whose first action was executed last."""

  def __init__(self, config: Planning, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    if spec.action.discrete:
      raise ValueError(
        "agent.behavior: planners search continuous actions: choose an actor-critic for discrete ones, such as the preset "
        "dreamer-v3, or another --task"
      )
    self.config, self.action_size = config, spec.action.size
    self.guide = None if config.guide is None else config.guide.build(features, spec, dtype=dtype, rngs=rngs)

  def initial_memory(self, num_envs: int) -> Memory:
    plan = jnp.zeros((num_envs, self.config.planner.horizon, self.action_size))
    return {"plan": plan, "age": jnp.zeros(num_envs, jnp.int32)}

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    plan, age = now.memory["plan"], now.memory["age"]  # [E, H, A], [E]
    due = age % self.config.replan_every == 0  # [E]

    def search() -> jax.Array:
      keys = jax.random.split(key, plan.shape[0])
      return jax.vmap(lambda *args: self._plan(world, *args))(now.latent, plan, keys)

    found = jax.lax.cond(due.any(), search, lambda: plan)
    plan = jnp.where(due[:, None, None], found, jax.vmap(shift)(plan))
    return plan[:, 0], {"plan": plan, "age": age + 1}

  def value(self, features: jax.Array) -> jax.Array | None:
    return None if self.guide is None else self.guide.value(features)

  def init_slow(self) -> Params:
    return self.guide.init_slow() if self.guide else {}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    return self.guide.update_slow(slow, updates) if self.guide else slow

  @property
  def optimizers(self) -> Optimizers:
    return {"guide": self.guide.optimizers} if self.guide else {}

  @property
  def scales(self) -> Mapping[str, float]:
    return self.guide.scales if self.guide else {}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    return self.guide.losses(slow, world, start, replayed, key) if self.guide else BehaviorLosses({}, slow, {})

  def _plan(self, world: World, latent: Latent, previous: jax.Array, key: jax.Array) -> jax.Array:
    """[H, A] from one latent [F] and the plan before it [H, A]."""
    member = world.member
    if world.members > 1 and member is not None:
      problem = over_members(lambda index: self._problem(member(index), latent), world.members)
    else:
      problem = self._problem(world, latent)
    return self.config.planner.plan(key, problem, previous)

  def _problem(self, world: World, latent: Latent) -> Problem:
    guide = self.guide
    return Problem(
      start=latent,
      step=world.step,
      expect=world.expect,
      reward=lambda latents: world.reward(world.features(latents)),
      value=None if guide is None else lambda latents: guide.value(world.features(latents)),
      discount=self.config.discount,
      final_weight=self.config.final_weight,
    )
