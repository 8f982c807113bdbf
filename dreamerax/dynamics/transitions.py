"""Moves a state that holds all that is known by one step, from state and action, with no memory beside them."""

import abc
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import Activation, Linear, PlainMLP


@dataclass(frozen=True)
class StateTransition(abc.ABC):
  """Configuration of a transition."""

  @abc.abstractmethod
  def build(self, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs) -> "StateTransitionModule":
    """stats: length of the next state's statistics, of which the first `state` are its mean."""


class StateTransitionModule(nnx.Module):
  """The distribution of the next state."""

  @abc.abstractmethod
  def __call__(self, state: jax.Array, action: jax.Array) -> jax.Array:
    """state [..., S], action [..., A] -> statistics [..., P] of the next state."""


@dataclass(frozen=True)
class Residual(StateTransition):
  """The mean is z + m(z, u), with a network m; without hidden layers it is linear in state and action."""

  layers: int = 2  # hidden layers; 0: a linear transition
  units: int = 64  # width of the hidden layers
  activation: Activation = "relu"  # of these layers

  def __post_init__(self):
    checks.at_least(0, self, "layers")
    checks.at_least(1, self, "units")

  def build(self, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs) -> "ResidualModule":
    return ResidualModule(self, state, action, stats, dtype=dtype, rngs=rngs)


class ResidualModule(StateTransitionModule):
  """Built from `Residual`."""

  def __init__(self, config: Residual, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs):
    how = {"dtype": dtype, "rngs": rngs}
    self.mlp = PlainMLP(state + action, config.units, config.layers, config.activation, **how)
    self.out = Linear(self.mlp.output_size, stats, **how)

  def __call__(self, state: jax.Array, action: jax.Array) -> jax.Array:
    moved = self.out(self.mlp(jnp.concatenate([state, action], -1)))
    return _after(state, moved)


@dataclass(frozen=True)
class LocallyLinear(StateTransition):
  """The mean is A(z) z + B(z) u + o(z), with A = I + V R^T of low rank (Watter et al. 2015).

  V, R, B and o come from one network of z. Nothing bounds V and R, so that A can contract.
  """

  rank: int = 1  # of A - I
  layers: int = 2  # hidden layers of the network
  units: int = 100  # width of the hidden layers
  activation: Activation = "relu"  # of these layers

  def __post_init__(self):
    checks.at_least(1, self, "rank", "layers", "units")

  def build(self, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs) -> "LocallyLinearModule":
    return LocallyLinearModule(self, state, action, stats, dtype=dtype, rngs=rngs)


class LocallyLinearModule(StateTransitionModule):
  """Built from `LocallyLinear`."""

  def __init__(self, config: LocallyLinear, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs):
    how = {"dtype": dtype, "rngs": rngs}
    self.rank = config.rank
    self.mlp = PlainMLP(state, config.units, config.layers, config.activation, **how)
    self.factors = Linear(config.units, 2 * state * config.rank, **how)  # V and R
    self.control = Linear(config.units, state * action, **how)  # B
    self.offset = Linear(config.units, stats, **how)  # o, and what else the statistics hold

  def __call__(self, state: jax.Array, action: jax.Array) -> jax.Array:
    local = self.around(state)
    return _after(local.turn(state) + local.push(action), local.offset)

  def around(self, state: jax.Array) -> "LocalModel":
    """The linear model at state [..., S]."""
    hidden, size = self.mlp(state), state.shape[-1]
    left, right = jnp.split(self.factors(hidden).reshape(*state.shape[:-1], 2 * self.rank, size), 2, -2)
    control = self.control(hidden)
    return LocalModel(left, right, control.reshape(*state.shape[:-1], size, -1), self.offset(hidden))


class LocalModel(NamedTuple):
  """z' = (I + V R^T) z + B u + o around one state; leading axes are those of the state."""

  left: jax.Array  # [..., R, S], the columns of V
  right: jax.Array  # [..., R, S], those of R
  control: jax.Array  # [..., S, A], B
  offset: jax.Array  # [..., P], o and what else the statistics of the next state hold

  def turn(self, state: jax.Array) -> jax.Array:
    """(I + V R^T) times state [..., S]."""
    return state + jnp.einsum("...rs,...rz,...z->...s", self.left, self.right, state)

  def turn_factor(self, factor: jax.Array) -> jax.Array:
    """(I + V R^T) times the matrix [..., S, S]."""
    return factor + jnp.einsum("...rs,...rz,...zk->...sk", self.left, self.right, factor)

  def push(self, action: jax.Array) -> jax.Array:
    """B times action [..., A]."""
    return jnp.einsum("...sa,...a->...s", self.control, action)


@dataclass(frozen=True)
class ActionMatrix(StateTransition):
  """The mean is W(z, u) z, with tanh of a network's outputs over sqrt(S) as the entries of W (Yan et al. 2020).

  W has a norm of at most sqrt(S) and turns zero into zero, so that states are told apart by direction and length alone.
  """

  layers: int = 2  # hidden layers of the network
  units: int = 64  # width of the hidden layers
  activation: Activation = "relu"  # of these layers

  def __post_init__(self):
    checks.at_least(0, self, "layers")
    checks.at_least(1, self, "units")

  def build(self, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs) -> "ActionMatrixModule":
    return ActionMatrixModule(self, state, action, stats, dtype=dtype, rngs=rngs)


class ActionMatrixModule(StateTransitionModule):
  """Built from `ActionMatrix`."""

  def __init__(self, config: ActionMatrix, state: int, action: int, stats: int, *, dtype: Any, rngs: nnx.Rngs):
    how = {"dtype": dtype, "rngs": rngs}
    self.mlp = PlainMLP(state + action, config.units, config.layers, config.activation, **how)
    self.out = Linear(self.mlp.output_size, state * state + stats - state, **how)  # W, and the other statistics

  def __call__(self, state: jax.Array, action: jax.Array) -> jax.Array:
    size = state.shape[-1]
    entries, others = jnp.split(self.out(self.mlp(jnp.concatenate([state, action], -1))), [size * size], -1)
    matrix = jnp.tanh(entries).reshape(*state.shape, size) / math.sqrt(size)
    return jnp.concatenate([jnp.einsum("...sz,...z->...s", matrix, state), others], -1)


def _after(state: jax.Array, stats: jax.Array) -> jax.Array:
  """stats [..., P] with `state` [..., S] added to its first S entries."""
  size = state.shape[-1]
  return jnp.concatenate([state + stats[..., :size], stats[..., size:]], -1)
