"""DreamerV3's actor-critic: likelihood ratios, returns normalised by their spread, a critic that learns from replay too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.actor_critic_base import ActorCriticBase, ActorCriticBaseModule
from dreamerax.behavior.base import BehaviorLosses, Replayed
from dreamerax.behavior.imagination import Latent, Rollout, World
from dreamerax.nets.heads import ScalarHeadModule
from dreamerax.nets.modules import Params, frozen, params_of, with_params
from dreamerax.ops.normalizers import PercentileScale
from dreamerax.ops.returns import lambda_return
from dreamerax.types import EnvSpec

_stop = jax.lax.stop_gradient


@dataclass(frozen=True)
class ActorCritic(ActorCriticBase):
  """DreamerV3's actor-critic (Hafner et al. 2023, section "Actor critic learning").

  Targets come from the online critic; an exponential average of it, the slow critic, only regularises. The critic also
  learns from replayed rewards, and that loss reaches the world model.
  """

  return_scale: PercentileScale = field(default_factory=PercentileScale)
  slow_rate: float = 0.02  # share of the critic that enters the slow critic per update
  slow_scale: float = 1.0  # of the loss towards the slow critic
  replay_value_scale: float = 0.3  # of the critic's loss on replayed rewards
  discount: float = 1 - 1 / 333  # in replayed returns; imagined ones have it in the continue probability

  def __post_init__(self):
    super().__post_init__()
    checks.between(0, 1, self, "slow_rate", "discount")
    checks.at_least(0, self, "slow_scale", "replay_value_scale")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorCriticModule":
    return ActorCriticModule(self, features, spec, dtype=dtype, rngs=rngs)


class ActorCriticModule(ActorCriticBaseModule):
  """Built from `ActorCritic`."""

  config: ActorCritic

  def init_slow(self) -> Params:
    return {"critic": params_of(self.critic), "returns": self.config.return_scale.init()}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    rate = self.config.slow_rate
    mixed = jax.tree.map(lambda old, new: (1 - rate) * old + rate * new, slow["critic"], params_of(self.critic))
    return {**slow, "critic": mixed}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"actor": 1.0, "critic": 1.0, "replay_value": self.config.replay_value_scale}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    config = self.config
    rollout = self.imagine(world, start, key)
    reward, continues = world.reward(rollout.features), world.continues(rollout.features)  # [N, H + 1]
    values = frozen(self.critic)(rollout.features).mean()  # [N, H + 1]
    returns = lambda_return(reward, continues, values, config.return_lambda)  # [N, H]
    # The chance that the state is still reached; its first factor is the start's own continue probability, as published.
    weight = _stop(jnp.cumprod(continues, 1)[:, :-1])  # [N, H]

    return_state = config.return_scale.update(slow["returns"], returns)
    scale = config.return_scale.scale(return_state)
    actor_loss, metrics = self._actor_loss(rollout, returns / scale, values[:, :-1] / scale, weight)

    slow_critic = with_params(self.critic, slow["critic"])
    # The last state has no return, and its loss is cut off: the critic is computed once, then, for the values and for this.
    targets = jnp.pad(returns, ((0, 0), (0, 1)))
    critic_losses = self._critic_loss(slow_critic, _stop(rollout.features), targets)  # [N, H + 1]
    critic_loss = (weight * critic_losses[:, :-1]).mean()
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
    lambda_ = self.config.return_lambda * (1.0 - steps.is_last.astype(jnp.float32))
    target = lambda_return(steps.reward, discount, bootstrap, lambda_)  # [B, T - 1]
    loss = self._critic_loss(slow_critic, replayed.features[:, :-1], target)
    return (loss * (1.0 - steps.is_last[:, :-1].astype(jnp.float32))).mean()
