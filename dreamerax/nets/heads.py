"""MLPs that end in a distribution: scalars, yes or no, actions."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax.nets.blocks import MLP, Linear
from dreamerax.ops import checks, distributions
from dreamerax.ops.distributions import Distribution, SymexpTwoHot
from dreamerax.types import ActionSpec


@dataclass(frozen=True)
class TwoHotHead:
  """A scalar (reward, value) over symexp-spaced bins; its output layer starts at zero, so it first predicts zero."""

  layers: int = 3  # hidden
  units: int = 1024  # of each hidden layer
  bins: int = 255  # odd: the middle one stands for zero

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")
    if self.bins < 3 or self.bins % 2 == 0:
      raise ValueError(f"bins={self.bins} must be an odd number of at least 3")

  def build(self, inputs: int, *, dtype: Any, rngs: nnx.Rngs) -> "TwoHotHeadModule":
    """inputs: length of the features."""
    return TwoHotHeadModule(self, inputs, dtype=dtype, rngs=rngs)


class TwoHotHeadModule(nnx.Module):
  """Built from `TwoHotHead`."""

  def __init__(self, config: TwoHotHead, inputs: int, *, dtype: Any, rngs: nnx.Rngs):
    self.mlp = MLP(inputs, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(self.mlp.output_size, config.bins, dtype=dtype, rngs=rngs, scale=0.0)

  def __call__(self, features: jax.Array) -> SymexpTwoHot:
    """[..., F] -> distribution over [...]."""
    return SymexpTwoHot(self.out(self.mlp(features)))


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
class ActorHead:
  """DreamerV3's policy: Normal(tanh mean, bounded std) for continuous actions, one-hot for discrete ones.

  The paper mixes 1 % of the uniform distribution into discrete policies; the published code does not.
  """

  layers: int = 3  # hidden
  units: int = 1024  # of each hidden layer
  min_std: float = 0.1  # of continuous actions, which lie in [-1, 1]
  max_std: float = 1.0
  unimix: float = 0.0  # share of the uniform distribution mixed into discrete actions
  output_scale: float = 0.01  # of the initial output layer

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")
    checks.more_than_zero(self, "min_std")
    checks.at_least(self.min_std, self, "max_std")
    checks.between(0, 1, self, "unimix")
    checks.at_least(0, self, "output_scale")

  def build(self, inputs: int, action: ActionSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ActorHeadModule":
    """inputs: length of the features."""
    return ActorHeadModule(self, inputs, action, dtype=dtype, rngs=rngs)


class ActorHeadModule(nnx.Module):
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

  def __call__(self, features: jax.Array) -> Distribution:
    """[..., F] -> distribution over actions [..., A], float32; samples carry gradients."""
    x = self.mlp(features)
    out = {name: layer(x).astype(jnp.float32) for name, layer in self.out.items()}
    if self.action.discrete:
      return distributions.one_hot(out["logits"], self.config.unimix)
    mean, std = out["mean"], out["std"]
    low, high = self.config.min_std, self.config.max_std
    return distributions.normal(jnp.tanh(mean), low + (high - low) * jax.nn.sigmoid(std + 2.0))
