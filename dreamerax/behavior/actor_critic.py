"""An actor and a critic that learn in imagination."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Replayed
from dreamerax.behavior.imagination import Latent, Rollout, World, imagine
from dreamerax.behavior.policy_gradient import PolicyGradient, Reinforce
from dreamerax.nets.heads import Actor, ActorHead, ScalarHead, ScalarHeadModule, TwoHotHead
from dreamerax.nets.modules import Params, frozen, params_of, with_params
from dreamerax.ops import checks
from dreamerax.ops.normalizers import PercentileScale
from dreamerax.ops.optimizers import LaProp, Optimizer
from dreamerax.ops.returns import lambda_return
from dreamerax.types import ActionSpec

_stop = jax.lax.stop_gradient


@dataclass(frozen=True)
class ActorCritic(Behavior):
  """DreamerV3's actor-critic (Hafner et al. 2023, section "Actor critic learning").

  Targets come from the online critic; an exponential average of it, the slow critic, only regularises. The critic also
  learns from replayed rewards, and that loss reaches the world model.
  """

  actor: Actor = field(default_factory=ActorHead)
  critic: ScalarHead = field(default_factory=TwoHotHead)
  gradient: PolicyGradient = field(default_factory=Reinforce)
  return_scale: PercentileScale = field(default_factory=PercentileScale)
  actor_optimizer: Optimizer = field(default_factory=LaProp)
  critic_optimizer: Optimizer = field(default_factory=LaProp)
  horizon: int = 15  # agent steps
  trace: float = 0.95  # λ of the λ-returns
  entropy_scale: float = 3e-4  # of the entropy that is added to the actor's objective
  slow_rate: float = 0.02  # share of the critic that enters the slow critic per update
  slow_scale: float = 1.0  # of the loss towards the slow critic
  replay_value_scale: float = 0.3  # of the critic's loss on replayed rewards
  discount: float = 1 - 1 / 333  # in replayed returns; imagined ones have it in the continue probability

  def __post_init__(self):
    checks.at_least(1, self, "horizon")
    checks.between(0, 1, self, "trace", "slow_rate", "discount")
    checks.at_least(0, self, "entropy_scale", "slow_scale", "replay_value_scale")

  def build(self, features: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorCriticModule":
    return ActorCriticModule(self, features, action, dtype=dtype, rngs=rngs)


class ActorCriticModule(BehaviorModule):
  """Built from `ActorCritic`."""

  def __init__(self, config: ActorCritic, features: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.actor = config.actor.build(features, action, dtype=dtype, rngs=rngs)
    self.critic = config.critic.build(features, dtype=dtype, rngs=rngs)

  def act(self, features: jax.Array, key: jax.Array, *, explore: bool) -> jax.Array:
    policy = self.actor(features)
    return policy.sample(seed=key) if explore else policy.mode()

  def init_slow(self) -> Params:
    return {"critic": params_of(self.critic), "returns": self.config.return_scale.init()}

  def update_slow(self, slow: Params) -> Params:
    rate = self.config.slow_rate
    mixed = jax.tree.map(lambda old, new: (1 - rate) * old + rate * new, slow["critic"], params_of(self.critic))
    return {**slow, "critic": mixed}

  @property
  def optimizers(self) -> Mapping[str, Optimizer]:
    return {"actor": self.config.actor_optimizer, "critic": self.config.critic_optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"actor": 1.0, "critic": 1.0, "replay_value": self.config.replay_value_scale}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    config = self.config
    rollout = imagine(world, self._imagined_action, start, config.horizon, key)
    reward, continues = world.reward(rollout.features), world.continues(rollout.features)  # [N, H + 1]
    values = frozen(self.critic)(rollout.features).mean()  # [N, H + 1]
    returns = lambda_return(reward, continues, values, config.trace)  # [N, H]
    # The chance that the state is still reached; its first factor is the start's own continue probability, as published.
    weight = _stop(jnp.cumprod(continues, 1)[:, :-1])  # [N, H]

    return_state = config.return_scale.update(slow["returns"], returns)
    scale = config.return_scale.scale(return_state)
    actor_loss, metrics = self._actor_loss(rollout, returns / scale, values[:, :-1] / scale, weight)

    slow_critic = with_params(self.critic, slow["critic"])
    features = _stop(rollout.features[:, :-1])
    critic_loss = (weight * self._critic_loss(slow_critic, features, returns)).mean()
    bootstrap = returns[:, 0].reshape(replayed.steps.reward.shape)  # [B, T]
    replay_loss = self._replay_loss(slow_critic, replayed, _stop(bootstrap))

    metrics |= {
      "imagined/return": returns.mean(),
      "imagined/return_scale": scale,
      "imagined/reward": reward.mean(),
      "imagined/value": values.mean(),
      "imagined/continue": continues.mean(),
    }
    losses = {"actor": actor_loss, "critic": critic_loss, "replay_value": replay_loss}
    return BehaviorLosses(losses, {**slow, "returns": return_state}, metrics)

  def _imagined_action(self, features: jax.Array, key: jax.Array) -> jax.Array:
    return self.config.gradient.act(self.actor(_stop(features)), key)

  def _actor_loss(
    self, rollout: Rollout, returns: jax.Array, values: jax.Array, weight: jax.Array
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    policy = self.actor(_stop(rollout.features[:, :-1]))
    entropy = policy.entropy()  # [N, H]
    loss = self.config.gradient.loss(policy, _stop(rollout.actions[:, :-1]), returns, _stop(values))
    loss = weight * (loss - self.config.entropy_scale * entropy)
    advantage = returns - values
    metrics = {
      "actor/entropy": entropy.mean(),
      "actor/advantage": advantage.mean(),
      "actor/advantage_std": advantage.std(),
      "actor/action_abs": jnp.abs(rollout.actions).mean(),
    }
    return loss.mean(), metrics

  def _critic_loss(self, slow_critic: ScalarHeadModule, features: jax.Array, target: jax.Array) -> jax.Array:
    """[...] loss of the critic at features [..., F] towards target [...], kept near the slow critic."""
    prediction = self.critic(features)
    slow_target = _stop(frozen(slow_critic)(_stop(features)).mean())
    return -prediction.log_prob(_stop(target)) - self.config.slow_scale * prediction.log_prob(slow_target)

  def _replay_loss(self, slow_critic: ScalarHeadModule, replayed: Replayed, bootstrap: jax.Array) -> jax.Array:
    """λ-returns of replayed rewards, bootstrapped by what imagination expected from each state; the last step is dropped."""
    steps = replayed.steps
    discount = self.config.discount * (1.0 - steps.is_terminal.astype(jnp.float32))
    trace = self.config.trace * (1.0 - steps.is_last.astype(jnp.float32))
    target = lambda_return(steps.reward, discount, bootstrap, trace)  # [B, T - 1]
    loss = self._critic_loss(slow_critic, replayed.features[:, :-1], target)
    return (loss * (1.0 - steps.is_last[:, :-1].astype(jnp.float32))).mean()
