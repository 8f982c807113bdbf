"""An inverse model as a behaviour: it tells which action leads from what is seen towards the goal, and takes that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Optimizers, Replayed, Situation
from dreamerax.behavior.goals.observed import goal_features, goal_names
from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.blocks import Activation, Linear, PlainMLP
from dreamerax.nets.modules import Params
from dreamerax.ops.distributions import OneHotGroups
from dreamerax.ops.optimizers import Adam, Optimizer
from dreamerax.types import ActionSpec, EnvSpec


@dataclass(frozen=True)
class InverseControl(Behavior):
  """Asks again at every decision which action comes first on the way to the goal (Agrawal et al. 2016).

  A network gets the features of two steps of an episode, 1 to `steps` agent steps apart, and tells the action that was
  taken at the first of them. Each entry of an action is one of `bins` intervals of equal width, each group of a discrete
  one a choice; the loss is the sum of their cross-entropies. Its gradient reaches the world model, which it keeps from
  having one state for all observations.

  Acting, the later step is the goal, seen alone, and the action consists of the middles of the most probable intervals.
  """

  bins: int = 11  # of each entry of a continuous action
  steps: int = 3  # agent steps between the two states, at most
  layers: int = 2  # hidden, of the network
  units: int = 128  # of each hidden layer
  activation: Activation = "relu"  # of these layers
  optimizer: Optimizer = field(default_factory=lambda: Adam(learning_rate=1e-3))

  def __post_init__(self):
    checks.at_least(2, self, "bins")
    checks.at_least(1, self, "steps", "units")
    checks.at_least(0, self, "layers")

  def kept_offline(self, action: ActionSpec) -> bool:
    return True

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "InverseControlModule":
    """Raises ValueError where a goal is not shown as what is seen."""
    return InverseControlModule(self, features, spec, dtype=dtype, rngs=rngs)


class InverseControlModule(BehaviorModule):
  """Built from `InverseControl`; child "model"."""

  def __init__(self, config: InverseControl, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.action, self.goals = config, spec.action, goal_names(spec)
    size = spec.action.size
    binned = ActionSpec(config.bins * size, discrete=True, groups=(config.bins,) * size)
    choices = spec.action if spec.action.discrete else binned
    self.model = InverseModule(config, features, choices, dtype=dtype, rngs=rngs)

  @property
  def needs(self) -> tuple[str, ...]:
    return self.goals

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    goal_key, draw_key = jax.random.split(key)
    goal = goal_features(world, {name: now.hidden[name] for name in self.goals}, goal_key)
    policy = self.model(world.features(now.latent), goal)
    return self._action(policy.sample(seed=draw_key) if explore else policy.mode()), now.memory

  @property
  def optimizers(self) -> Optimizers:
    return {"model": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"inverse": 1.0}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Raises ValueError: sequences are too short."""
    features, steps = replayed.features, replayed.steps
    if features.shape[1] <= self.config.steps:
      raise ValueError(
        f"replay.batch_length={features.shape[1]}: the inverse model compares steps={self.config.steps} steps apart; raise it "
        f"to {self.config.steps + 1}, or lower agent.behavior.steps"
      )
    episode, action = jnp.cumsum(steps.is_first, 1), jnp.asarray(steps.action)
    total, count = jnp.zeros(()), jnp.zeros((), jnp.int32)
    for apart in range(1, self.config.steps + 1):
      policy = self.model(features[:, :-apart], features[:, apart:])
      within = episode[:, :-apart] == episode[:, apart:]  # both steps are of one episode
      log_probs = policy.log_prob(self._choices(action[:, 1 : action.shape[1] - apart + 1]))
      total, count = total - jnp.where(within, log_probs, 0).sum(), count + within.sum()
    return BehaviorLosses({"inverse": total / jnp.maximum(count, 1)}, slow, {})

  def _choices(self, action: jax.Array) -> jax.Array:
    """Actions [..., A] -> one-hot vectors of their intervals, concatenated."""
    if self.action.discrete:
      return action
    bins = self.config.bins
    index = jnp.clip(jnp.floor((action + 1) / 2 * bins).astype(jnp.int32), 0, bins - 1)
    return jax.nn.one_hot(index, bins).reshape(*action.shape[:-1], -1)

  def _action(self, choices: jax.Array) -> jax.Array:
    """The inverse of `_choices`, at the middles of the intervals."""
    if self.action.discrete:
      return choices
    bins = self.config.bins
    middles = (2 * jnp.arange(bins) + 1) / bins - 1
    return choices.reshape(*choices.shape[:-1], -1, bins) @ middles


class InverseModule(nnx.Module):
  """From the features of two states to a distribution over one-hot vectors of choices."""

  def __init__(self, config: InverseControl, features: int, choices: ActionSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.choices = choices
    self.mlp = PlainMLP(2 * features, config.units, config.layers, config.activation, dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, choices.size, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array, later: jax.Array) -> OneHotGroups:
    """[..., F], [..., F] -> over [..., C]."""
    hidden = self.mlp(jnp.concatenate([features, later], -1))
    return OneHotGroups(self.out(hidden).astype(jnp.float32), self.choices)
