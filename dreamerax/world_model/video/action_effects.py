"""How an action changes the code of the frames so far: by a product of factors, or as one more input."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import Linear, trunc_normal_in


@dataclass(frozen=True)
class ActionEffect(abc.ABC):
  """Configuration of an action's effect."""

  @abc.abstractmethod
  def build(self, units: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "ActionEffectModule":
    """units: length of the code. action: of an action vector."""


class ActionEffectModule(nnx.Module):
  """The code of the next frame from that of the frames so far."""

  @abc.abstractmethod
  def __call__(self, code: jax.Array, action: jax.Array) -> jax.Array:
    """[N, units], [N, A] -> [N, units], without an activation."""


@dataclass(frozen=True)
class Multiplicative(ActionEffect):
  """W_dec (W_enc h ⊙ W_a [a, 1]) + b (Oh et al. 2015, Eq. 4), h the code.

  The paper's actions are choices. The 1 beside an action lets those of zeros pass the code on; beside choices it changes
  nothing that the factors can express.
  """

  factors: int = 2048

  def __post_init__(self):
    checks.at_least(1, self, "factors")

  def build(self, units: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "MultiplicativeModule":
    return MultiplicativeModule(self, units, action, dtype=dtype, rngs=rngs)


class MultiplicativeModule(ActionEffectModule):
  """Built from `Multiplicative`."""

  def __init__(self, config: Multiplicative, units: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.encode = Linear(units, config.factors, dtype=dtype, rngs=rngs, init=_uniform(1.0))
    self.act = Linear(action, config.factors, dtype=dtype, rngs=rngs, init=_uniform(0.1))
    self.act.bias = nnx.Param(_uniform(0.1)(rngs.params(), (config.factors,)))
    self.decode = Linear(config.factors, units, dtype=dtype, rngs=rngs)

  def __call__(self, code: jax.Array, action: jax.Array) -> jax.Array:
    return self.decode(self.encode(code) * self.act(action))


@dataclass(frozen=True)
class Concatenated(ActionEffect):
  """A dense layer over code and action: what Oh et al. compare the product of factors with."""

  def build(self, units: int, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "ConcatenatedModule":
    return ConcatenatedModule(units, action, dtype=dtype, rngs=rngs)


class ConcatenatedModule(ActionEffectModule):
  """Built from `Concatenated`."""

  def __init__(self, units: int, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.join = Linear(units + action, units, dtype=dtype, rngs=rngs, init=trunc_normal_in(2.0))

  def __call__(self, code: jax.Array, action: jax.Array) -> jax.Array:
    return self.join(jnp.concatenate([code, action.astype(code.dtype)], -1))


def _uniform(limit: float) -> Any:
  """Draws from [-limit, limit)."""
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -limit, limit)
