"""Fitted Q iteration on the world model's features, from replay alone (Ernst et al. 2005; Lange and Riedmiller 2010)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Optimizers, Replayed, Situation
from dreamerax.behavior.imagination import Latent, World
from dreamerax.nets.blocks import MLP, Linear
from dreamerax.nets.modules import Params, frozen, params_of, with_params
from dreamerax.ops.optimizers import Adam, Optimizer
from dreamerax.ops.transforms import mean_where
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class FourierFeatures:
  """Cosines of random projections of the features, beside these, as inputs of Q (Rahimi and Recht 2007; Tancik et al. 2020).

  A network is smooth in its inputs, and takes long to tell states apart that are close to each other, as on both sides of
  the edge of a small goal. Projections do not learn.
  """

  count: int = 256
  length: float = 1.0  # of a change of the features that is a radian of a cosine, on average

  def __post_init__(self):
    checks.at_least(1, self, "count")
    checks.more_than_zero(self, "length")


@dataclass(frozen=True)
class FittedQ(Behavior):
  """A network is fitted again and again to r + γ max_a Q_k(z', a), with Q_k as the fit before left it; Q_0 is zero.

  Features are those of today's world model and get no gradient. Only `is_terminal` ends what is summed: a time limit
  does not. It acts greedily: `exploration_noise` of the agent is the chance of any action.
  """

  layers: int = 2  # of the network; 0: Q is linear in the features
  units: int = 128  # width of the network
  fourier: FourierFeatures | None = None  # further inputs of the network
  optimizer: Optimizer = field(default_factory=lambda: Adam(learning_rate=1e-3))
  target_every: int = 200  # updates of one fit
  discount: float = 0.95  # γ, per agent step

  def __post_init__(self):
    checks.at_least(0, self, "layers")
    checks.at_least(1, self, "units", "target_every")
    checks.between(0, 1, self, "discount")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "FittedQModule":
    """Raises ValueError for actions that are not one choice, over which no maximum is taken."""
    if not spec.action.discrete:
      raise ValueError("FittedQ compares choices, and actions are continuous: choose a --task with discrete actions")
    if len(spec.action.groups) > 1:
      groups = " and ".join(map(str, spec.action.groups))
      raise ValueError(f"FittedQ compares single choices, and an action is several, of {groups}: choose another --task")
    return FittedQModule(self, features, spec, dtype=dtype, rngs=rngs)


class FittedQModule(BehaviorModule):
  """Built from `FittedQ`; child "q", and beside the parameters those of the fit before."""

  def __init__(self, config: FittedQ, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.q = QModule(config, features, spec.action.size, dtype=dtype, rngs=rngs)

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    q = self.q(world.features(now.latent))
    return jax.nn.one_hot(q.argmax(-1), q.shape[-1]), now.memory

  def value(self, features: jax.Array) -> jax.Array:
    """features [..., F] -> the value [...] of the best action."""
    return self.q(features).max(-1)

  def init_slow(self) -> Params:
    return {"q": params_of(self.q)}

  def update_slow(self, slow: Params, updates: jax.Array) -> Params:
    over = (updates + 1) % self.config.target_every == 0  # the fit
    return {"q": jax.tree.map(lambda old, new: jnp.where(over, new, old), slow["q"], params_of(self.q))}

  @property
  def optimizers(self) -> Optimizers:
    return {"q": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"q": 1.0}

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    steps, features = replayed.steps, jax.lax.stop_gradient(replayed.features)
    best = frozen(with_params(self.q, slow["q"]))(features[:, 1:]).max(-1)  # [B, T - 1]
    target = steps.reward[:, 1:] + self.config.discount * jnp.where(steps.is_terminal[:, 1:], 0.0, best)
    taken = (self.q(features[:, :-1]) * steps.action[:, 1:]).sum(-1)
    within = ~steps.is_first[:, 1:]  # both steps are of one episode
    loss = mean_where(jnp.square(taken - target), within)
    return BehaviorLosses({"q": loss}, slow, {"q/target": mean_where(target, within)})


class QModule(nnx.Module):
  """A value for each choice; zero before anything is learned."""

  def __init__(self, config: FittedQ, features: int, actions: int, *, dtype: Any, rngs: nnx.Rngs):
    self.fourier = None if config.fourier is None else FourierModule(config.fourier, features, rngs=rngs)
    inputs = features + (0 if config.fourier is None else config.fourier.count)
    self.mlp = MLP(inputs, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, actions, scale=0.0, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array) -> jax.Array:
    """[..., F] -> [..., A] float32."""
    inputs = features if self.fourier is None else self.fourier(features)
    return self.out(self.mlp(inputs)).astype(jnp.float32)


class FourierModule(nnx.Module):
  """Built from `FourierFeatures`; its parameters get no gradient."""

  def __init__(self, config: FourierFeatures, features: int, *, rngs: nnx.Rngs):
    key = rngs.params()
    self.directions = nnx.Param(jax.random.normal(key, (features, config.count)) / config.length)
    self.phases = nnx.Param(jax.random.uniform(rngs.params(), (config.count,), maxval=2 * jnp.pi))

  def __call__(self, features: jax.Array) -> jax.Array:
    """[..., F] -> float32 [..., F + count]."""
    features = features.astype(jnp.float32)
    directions, phases = jax.lax.stop_gradient((self.directions[...], self.phases[...]))
    projected = jnp.matmul(features, directions, precision=jax.lax.Precision.HIGHEST) + phases
    return jnp.concatenate([features, math.sqrt(2) * jnp.cos(projected)], -1)
