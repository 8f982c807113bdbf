"""MLPs that end in a distribution: scalars, yes or no, actions."""

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import MLP, Activation, Linear, PlainMLP, glorot_uniform
from dreamerax.ops import distributions
from dreamerax.ops.distributions import Distribution, Policy, Prediction, SymexpTwoHot, TanhNormal, TruncatedNormal
from dreamerax.types import ActionSpec


@dataclass(frozen=True)
class ScalarHead(abc.ABC):
  """Configuration of a head that predicts a scalar (reward, value)."""

  @abc.abstractmethod
  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "ScalarHeadModule":
    """inputs: length of the features."""


class ScalarHeadModule(nnx.Module):
  """Predicts a scalar from features."""

  @abc.abstractmethod
  def __call__(self, features: jax.Array) -> Prediction:
    """[..., F] -> distribution over [...]."""


@dataclass(frozen=True)
class TwoHotHead(ScalarHead):
  """A scalar over symexp-spaced bins; its output layer starts at zero, so it first predicts zero."""

  layers: int = 3  # hidden
  units: int = 1024  # of each hidden layer
  bins: int = 255  # odd: the middle one stands for zero
  limit: float = 20.0  # symlog of the outermost bin; a target beyond it counts as that bin (20: ±4.9e8, 7: ±1096)

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")
    checks.more_than_zero(self, "limit")
    if self.bins < 3 or self.bins % 2 == 0:
      raise ValueError(f"bins={self.bins} must be an odd number of at least 3")

  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "TwoHotHeadModule":
    return TwoHotHeadModule(self, inputs, dtype=dtype, rngs=rngs)


class TwoHotHeadModule(ScalarHeadModule):
  """Built from `TwoHotHead`."""

  def __init__(self, config: TwoHotHead, inputs: int, *, dtype: Any, rngs: nnx.Rngs):
    self.limit = config.limit
    self.mlp = MLP(inputs, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, config.bins, dtype=dtype, rngs=rngs, scale=0.0)

  def __call__(self, features: jax.Array) -> SymexpTwoHot:
    return SymexpTwoHot(self.out(self.mlp(features)), self.limit)


@dataclass(frozen=True)
class NormalHead(ScalarHead):
  """A scalar as the mean of a Gaussian of unit variance: PlaNet's reward, Dreamer v1's and v2's reward and value."""

  layers: int = 3  # hidden
  units: int = 400  # of each hidden layer
  activation: Activation = "elu"

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")

  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "NormalHeadModule":
    return NormalHeadModule(self, inputs, dtype=dtype, rngs=rngs)


class NormalHeadModule(ScalarHeadModule):
  """Built from `NormalHead`."""

  def __init__(self, config: NormalHead, inputs: int, *, dtype: Any, rngs: nnx.Rngs):
    self.mlp = PlainMLP(inputs, config.units, config.layers, config.activation, dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, 1, dtype=dtype, rngs=rngs, init=glorot_uniform)

  def __call__(self, features: jax.Array) -> Distribution:
    return distributions.scalar_normal(self.out(self.mlp(features))[..., 0])


@dataclass(frozen=True)
class QuadraticHead(ScalarHead):
  """A scalar that is greatest at one place and falls with the square of the distance from it, in a learned metric.

  b - |W (f - m)|² / 2: minus a quadratic cost (Zhang et al. 2019, SOLAR), whose Hessian WᵀW has no negative part. It is
  the mean of a Gaussian of unit variance.
  """

  start: float = 0.1  # W's diagonal in the beginning

  def __post_init__(self):
    checks.more_than_zero(self, "start")

  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "QuadraticHeadModule":
    return QuadraticHeadModule(self, inputs)


class QuadraticHeadModule(ScalarHeadModule):
  """Built from `QuadraticHead`; computes in float32."""

  def __init__(self, config: QuadraticHead, inputs: int):
    self.metric = nnx.Param(config.start * jnp.eye(inputs))
    self.peak, self.best = nnx.Param(jnp.zeros(inputs)), nnx.Param(jnp.zeros(()))

  def __call__(self, features: jax.Array) -> Distribution:
    away = features.astype(jnp.float32) - self.peak[...]
    scaled = jnp.matmul(away, self.metric[...].T, precision=jax.lax.Precision.HIGHEST)
    return distributions.scalar_normal(self.best[...] - jnp.square(scaled).sum(-1) / 2)


@dataclass(frozen=True)
class BinaryHead:
  """A probability (whether the episode goes on)."""

  layers: int = 1  # hidden
  units: int = 1024  # of each hidden layer

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")

  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "BinaryHeadModule":
    """inputs: length of the features."""
    return BinaryHeadModule(self, inputs, dtype=dtype, rngs=rngs)


class BinaryHeadModule(nnx.Module):
  """Built from `BinaryHead`."""

  def __init__(self, config: BinaryHead, inputs: int, *, dtype: Any, rngs: nnx.Rngs):
    self.mlp = MLP(inputs, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, 1, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array) -> Distribution:
    """[..., F] -> Bernoulli over [...]."""
    return distributions.bernoulli(self.out(self.mlp(features))[..., 0])


@dataclass(frozen=True)
class Actor(abc.ABC):
  """Configuration of a policy."""

  @abc.abstractmethod
  def build(self, inputs: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorModule":
    """inputs: length of the features."""


class ActorModule(nnx.Module):
  """Chooses actions from features."""

  @abc.abstractmethod
  def __call__(self, features: jax.Array) -> Policy:
    """[..., F] -> distribution over actions [..., A], float32; samples carry gradients."""


@dataclass(frozen=True)
class ActorHead(Actor):
  """DreamerV3's policy: Normal(tanh mean, bounded std) for continuous actions, one-hot for discrete ones.

  An action of several groups has independent choices: its log-probability and its entropy are the sums of theirs, the
  latter before `entropy_scale` weighs it. The paper mixes 1 % of the uniform distribution into discrete policies; the
  published code does not.
  """

  layers: int = 3  # hidden
  units: int = 1024  # of each hidden layer
  min_std: float = 0.1  # of continuous actions, which lie in [-1, 1]
  max_std: float = 1.0
  unimix: float = 0.0  # share of the uniform distribution mixed into discrete actions, in each group
  output_scale: float = 0.01  # of the initial output layer

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")
    checks.more_than_zero(self, "min_std")
    checks.at_least(self.min_std, self, "max_std")
    checks.between(0, 1, self, "unimix")
    checks.at_least(0, self, "output_scale")

  def build(self, inputs: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorHeadModule":
    return ActorHeadModule(self, inputs, action, dtype=dtype, rngs=rngs)


class ActorHeadModule(ActorModule):
  """Built from `ActorHead`."""

  def __init__(self, config: ActorHead, inputs: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.action = config, action
    self.mlp = MLP(inputs, config.units, config.layers, dtype=dtype, rngs=rngs)
    # Mean and deviation are tensors of their own, as published: gradients are clipped tensor by tensor.
    names = ("logits",) if action.discrete else ("mean", "std")
    self.out = nnx.Dict(
      {
        name: Linear(self.mlp.output_size, action.size, dtype=dtype, rngs=rngs, scale=config.output_scale)
        for name in names
      }
    )

  def __call__(self, features: jax.Array) -> Policy:
    x = self.mlp(features)
    out = {name: layer(x).astype(jnp.float32) for name, layer in self.out.items()}
    if self.action.discrete:
      return distributions.OneHotGroups(out["logits"], self.action, self.config.unimix)
    mean, std = out["mean"], out["std"]
    low, high = self.config.min_std, self.config.max_std
    return distributions.normal(jnp.tanh(mean), low + (high - low) * jax.nn.sigmoid(std + 2.0))


@dataclass(frozen=True)
class PlainActor(Actor):
  """An actor as in Dreamer v1 and v2: an MLP without normalisation, and one-hot discrete actions without unimix."""

  layers: int = 4  # hidden
  units: int = 400  # of each hidden layer
  activation: Activation = "elu"

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")

  @abc.abstractmethod
  def outputs(self, action_size: int) -> Mapping[str, int]:
    """Name and width of each output layer for continuous actions."""

  @abc.abstractmethod
  def policy(self, out: Mapping[str, jax.Array]) -> Policy:
    """Turns the layers' outputs, {name: [..., width]} float32, into a distribution over continuous actions [..., A]."""

  def build(self, inputs: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "PlainActorModule":
    return PlainActorModule(self, inputs, action, dtype=dtype, rngs=rngs)


@dataclass(frozen=True)
class TanhNormalActor(PlainActor):
  """Dreamer v1's policy (Hafner et al. 2020): tanh of a Gaussian whose mean is bounded and which starts out wide."""

  init_std: float = 5.0  # of the Gaussian, where the network's output is zero
  min_std: float = 1e-4
  mean_scale: float = 5.0  # largest mean of the Gaussian, approached as its tanh

  def __post_init__(self):
    super().__post_init__()
    checks.more_than_zero(self, "init_std", "min_std", "mean_scale")

  def outputs(self, action_size: int) -> Mapping[str, int]:
    return {"mean_std": 2 * action_size}

  def policy(self, out: Mapping[str, jax.Array]) -> Policy:
    mean, std = jnp.split(out["mean_std"], 2, -1)
    shift = self.init_std + math.log(-math.expm1(-self.init_std))  # softplus of it is init_std
    mean = self.mean_scale * jnp.tanh(mean / self.mean_scale)
    return TanhNormal(mean, jax.nn.softplus(std + shift) + self.min_std)


@dataclass(frozen=True)
class TruncatedNormalActor(PlainActor):
  """Dreamer v2's policy (Hafner et al. 2021): a Gaussian around a tanh mean, cut off at -1 and 1."""

  min_std: float = 0.1  # and the largest is 2 more

  def __post_init__(self):
    super().__post_init__()
    checks.more_than_zero(self, "min_std")

  def outputs(self, action_size: int) -> Mapping[str, int]:
    return {"mean": action_size, "std": action_size}

  def policy(self, out: Mapping[str, jax.Array]) -> Policy:
    return TruncatedNormal(jnp.tanh(out["mean"]), 2 * jax.nn.sigmoid(out["std"] / 2) + self.min_std, -1.0, 1.0)


class PlainActorModule(ActorModule):
  """Built from `PlainActor`."""

  def __init__(self, config: PlainActor, inputs: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.action = config, action
    self.mlp = PlainMLP(inputs, config.units, config.layers, config.activation, dtype=dtype, rngs=rngs)
    sizes = {"logits": action.size} if action.discrete else config.outputs(action.size)
    self.out = nnx.Dict(
      {
        name: Linear(self.mlp.output_size, size, dtype=dtype, rngs=rngs, init=glorot_uniform)
        for name, size in sizes.items()
      }
    )

  def __call__(self, features: jax.Array) -> Policy:
    x = self.mlp(features)
    out = {name: layer(x).astype(jnp.float32) for name, layer in self.out.items()}
    if self.action.discrete:
      return distributions.OneHotGroups(out["logits"], self.action)
    return self.config.policy(out)
