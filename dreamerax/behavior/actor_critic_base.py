"""Defines what actor-critics share: two networks, acting with one of them, imagining with it."""

import abc
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import Behavior, BehaviorModule, Memory, Optimizers, Situation
from dreamerax.behavior.imagination import Latent, Rollout, World, imagine
from dreamerax.behavior.policy_gradient import PolicyGradient, Reinforce
from dreamerax.nets.heads import Actor, ActorHead, ScalarHead, TwoHotHead
from dreamerax.ops.optimizers import LaProp, Optimizer
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class ActorCriticBase(Behavior):
  """An actor and a critic, and how the actor's gradient is estimated."""

  actor: Actor = field(default_factory=ActorHead)
  critic: ScalarHead = field(default_factory=TwoHotHead)
  gradient: PolicyGradient = field(default_factory=Reinforce)
  actor_optimizer: Optimizer = field(default_factory=LaProp)
  critic_optimizer: Optimizer = field(default_factory=LaProp)
  horizon: int = 15  # agent steps
  return_lambda: float = 0.95  # λ of the λ-returns
  entropy_scale: float = 3e-4  # of the entropy that is added to the actor's objective

  def __post_init__(self):
    checks.at_least(1, self, "horizon")
    checks.between(0, 1, self, "return_lambda")
    checks.at_least(0, self, "entropy_scale")

  @abc.abstractmethod
  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorCriticBaseModule": ...


class ActorCriticBaseModule(BehaviorModule):
  """Children "actor" and "critic"; a subclass has the losses."""

  config: ActorCriticBase

  def __init__(self, config: ActorCriticBase, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.actor = config.actor.build(features, spec.action, dtype=dtype, rngs=rngs)
    self.critic = config.critic.build(features, dtype=dtype, rngs=rngs)

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    policy = self.actor(world.features(now.latent))
    return policy.sample(seed=key) if explore else policy.mode(), now.memory

  def value(self, features: jax.Array) -> jax.Array:
    """features [..., F] -> expected discounted return [...] from there on."""
    return self.critic(features).mean()

  @property
  def optimizers(self) -> Optimizers:
    return {"actor": self.config.actor_optimizer, "critic": self.config.critic_optimizer}

  def imagine(self, world: World, start: Latent, key: jax.Array) -> Rollout:
    """`horizon` steps of the actor, whose gradient does not reach the features that it acts on."""

    def act(features: jax.Array, key: jax.Array) -> jax.Array:
      return self.config.gradient.act(self.actor(jax.lax.stop_gradient(features)), key)

    return imagine(world, act, start, self.config.horizon, key)
