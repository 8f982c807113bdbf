"""The actor-critic of Dreamer v1 and v2, in which the value of a state includes the reward on arriving there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.actor_critic_base import ActorCriticBase, ActorCriticBaseModule
from dreamerax.behavior.base import BehaviorLosses, Replayed
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.policy_gradient import Pathwise, PolicyGradient
from dreamerax.nets.modules import Params, frozen, params_of, with_params
from dreamerax.ops.returns import arrival_lambda_return
from dreamerax.types import EnvSpec

_stop = jax.lax.stop_gradient


@dataclass(frozen=True)
class ActorCriticV2(ActorCriticBase):
  """Dreamer v2's actor-critic (Hafner et al. 2021, section 2.2); without target network and start values it is Dreamer v1's.

  The target of state t is R_t = r_t + γ [(1 - λ) v_{t+1} + λ R_{t+1}], as in both published codes. What is done in state t
  can change R_{t+1} and later, so that the actor's loss in state t has the target of state t + 1. Weights are the chance that
  a state is reached, 1 for the start.

  Dreamer v1 imagines as many steps and leaves the start out of the values: its 14 returns of 15 states are the same as
  here, with the same weights for the actor; its critic learns from all but the start (`start_values=False`).
  Without a target network most of a short rollout's target is the critic's own value, which can then grow past any possible
  return: keep `horizon` near the published 15, or set `target_every`.

  Checked beside both published codes in one update at equal parameters and noise: gradients within 2e-5 of a tensor's maximum.
  """

  gradient: PolicyGradient = field(default_factory=Pathwise)
  entropy_scale: float = 1e-4  # of the entropy that is added to the actor's objective
  target_every: int = (
    100  # updates between copies of the critic into the target network; 0: the critic is its own target
  )
  start_values: bool = True  # whether the critic learns the value of the states that imagination starts from

  def __post_init__(self):
    super().__post_init__()
    checks.at_least(2, self, "horizon")
    checks.at_least(0, self, "target_every")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorCriticV2Module":
    return ActorCriticV2Module(self, features, spec, dtype=dtype, rngs=rngs)


class ActorCriticV2Module(ActorCriticBaseModule):
  """Built from `ActorCriticV2`."""

  config: ActorCriticV2

  def init_slow(self) -> Params:
    return {"critic": params_of(self.critic)} if self.config.target_every else {}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    if not self.config.target_every:
      return slow
    copy = updates % self.config.target_every == 0
    return {"critic": jax.tree.map(lambda old, new: jnp.where(copy, new, old), slow["critic"], params_of(self.critic))}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"actor": 1.0, "critic": 1.0}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    config = self.config
    rollout = self.imagine(world, start, key)
    target_critic = frozen(with_params(self.critic, slow["critic"]) if slow else self.critic)
    reward, values = world.reward(rollout.features), target_critic(rollout.features).mean()  # [N, H + 1]
    continues = self._continues(world, rollout.features, replayed)
    target = arrival_lambda_return(reward, continues, values, config.return_lambda)  # [N, H], of the states 0 … H - 1
    before = jnp.concatenate([jnp.ones_like(continues[:, :1]), continues[:, :-1]], 1)
    weight = _stop(jnp.cumprod(before, 1))  # [N, H + 1]

    policy = self.actor(_stop(rollout.features[:, :-2]))  # in the states 0 … H - 2
    actions = _stop(rollout.actions[:, :-2])
    actor_loss = config.gradient.loss(policy, actions, target[:, 1:], _stop(values[:, :-2]))
    metrics = {}
    if config.entropy_scale:  # that of Dreamer v1's policy is estimated from samples, which costs
      entropy = policy.entropy()
      metrics["actor/entropy"] = entropy.mean()
      actor_loss = actor_loss - config.entropy_scale * entropy
    actor_loss = (weight[:, :-2] * actor_loss).mean()
    critic_loss = self._critic_loss(_stop(rollout.features[:, :-1]), _stop(target), weight[:, :-1])

    metrics |= {
      "actor/action_abs": jnp.abs(rollout.actions).mean(),
      "imagined/return": target.mean(),
      "imagined/reward": reward.mean(),
      "imagined/value": values.mean(),
      "imagined/continue": continues.mean(),
    }
    return BehaviorLosses({"actor": actor_loss, "critic": critic_loss}, slow, metrics)

  def _critic_loss(self, features: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    if not self.config.start_values:
      # As if imagination had begun one step later: weights count from the first state that is learned from.
      features, target, weight = features[:, 1:], target[:, 1:], weight[:, :-1]
    return -(weight * self.critic(features).log_prob(target)).mean()

  def _continues(self, world: World, features: jax.Array, replayed: Replayed) -> jax.Array:
    """[N, H + 1]; what has ended in replay does not go on, whatever the model says."""
    continues = world.continues(features)
    ended = replayed.steps.is_terminal.reshape(-1, 1)  # [N, 1]
    return jnp.concatenate([jnp.where(ended, 0.0, continues[:, :1]), continues[:, 1:]], 1)
