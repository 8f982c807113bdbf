"""Linear-quadratic control under dynamics that are fitted to the newest episodes."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Iteration, Memory, Replayed, Situation
from dreamerax.behavior.dynamics_prior import AllSteps, DynamicsPrior
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.trajectory import Trajectory
from dreamerax.nets.modules import Params
from dreamerax.types import EnvSpec, Transition


@dataclass(frozen=True)
class LocalLQR(Behavior):
  """LQR with fitted linear models (Levine and Abbeel 2014): a policy K_t x + k_t of the features x at each step t.

  The cost is minus the world's reward. There is one policy for all environments: where goals differ from episode to
  episode, they have to be part of the features, as `Rewarded` with a `GoalReward` makes them. Actions are cut to
  [-1, 1] when they are taken; the fit knows no limits. Learns from whole episodes of its own (`IterationsConfig`), all
  of `horizon` steps.
  """

  horizon: int = 40  # H, steps of an episode
  updates: int = 1  # of an iteration, the last of which improves the policy
  warmup: int = 0  # updates before the first iteration's, which leave the policy alone: a world model learns in them
  older: int = 0  # episodes that follow each of the newest ones in a batch, and that the fit leaves aside
  trajectory: Trajectory = field(default_factory=Trajectory)
  prior: DynamicsPrior = field(default_factory=AllSteps)  # of the fitted dynamics

  def __post_init__(self):
    checks.at_least(1, self, "horizon", "updates")
    checks.at_least(0, self, "warmup", "older")

  @property
  def iteration(self) -> Iteration:
    return Iteration(self.updates, self.warmup, self.older)

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: Any) -> "LocalLQRModule":
    """Raises ValueError for discrete actions, which are not linear in the features."""
    if spec.action.discrete:
      raise ValueError("LocalLQR acts linearly, and actions are choices: choose a --task with continuous actions")
    return LocalLQRModule(self, features, spec.action.size)


class LocalLQRModule(BehaviorModule):
  """Built from `LocalLQR`; its memory is the step of the episode, and its gains are state beside the parameters."""

  def __init__(self, config: LocalLQR, features: int, actions: int):
    self.config, self.sizes = config, (features, actions)

  def initial_memory(self, num_envs: int) -> Memory:
    return {"t": jnp.zeros(num_envs, jnp.int32)}

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    t = now.memory["t"]
    features = world.features(now.latent).astype(jnp.float32)
    return linear_action(now.state, features, t, key if explore else None), {"t": t + 1}

  def follow(self, world: World, now: Situation, action: jax.Array, key: jax.Array) -> Memory:
    return {"t": now.memory["t"] + 1}

  def init_slow(self) -> Params:
    kept = self.config.trajectory.begin(self.config.horizon, *self.sizes)
    return {"trajectory": kept, "updates": jnp.zeros((), jnp.int32)}

  def acting(self, slow: Params) -> Params:
    return {name: slow["trajectory"][name] for name in ("feedback", "feedforward", "deviation")}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    config = self.config
    check_whole(replayed.steps, config.horizon)
    shape = replayed.features.shape[:2]  # [B, T]
    latents = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), start)
    own = latents, jax.lax.stop_gradient(replayed.features).astype(jnp.float32), jnp.asarray(replayed.steps.action)
    latents, features, actions = jax.tree.map(lambda x: x[:: 1 + config.older], own)
    actions = actions[:, 1:]

    def improve(kept: Params) -> Params:
      prior = config.prior(world, latents, features, actions)
      return config.trajectory.improve(kept, features, actions, lambda x: -world.reward(x), prior)

    updates = slow["updates"] + 1
    due = (updates > config.warmup) & ((updates - config.warmup) % config.updates == 0)
    kept = jax.lax.cond(due, improve, lambda kept: kept, slow["trajectory"])
    metrics = {f"lqr/{name}": value for name, value in kept["metrics"].items()}
    return BehaviorLosses({}, {"trajectory": kept, "updates": updates}, metrics)


def check_whole(steps: Transition, horizon: int) -> None:
  """Raises ValueError: sequences [B, T] are not as long as episodes of `horizon` steps."""
  length = steps.reward.shape[1]
  if length != horizon + 1:
    raise ValueError(
      f"agent.behavior's horizon={horizon} is the steps of an episode, whose rows are one more, and "
      f"replay.batch_length={length}: set one of them"
    )


def linear_action(gains: Params, features: jax.Array, t: jax.Array, key: jax.Array | None) -> jax.Array:
  """Actions [E, A] in [-1, 1] of the policy at steps t [E] and features [E, F]; the mean ones without a key.

  Beyond the last step, its gains are kept.
  """
  at = jnp.minimum(t, len(gains["feedforward"]) - 1)
  gains = {name: value[at] for name, value in gains.items()}
  action = jnp.einsum("eaf,ef->ea", gains["feedback"], features, precision="highest") + gains["feedforward"]
  if key is not None:
    noise = jax.random.normal(key, action.shape)
    action += jnp.einsum("eab,eb->ea", gains["deviation"], noise, precision="highest")
  return jnp.clip(action, -1, 1)
