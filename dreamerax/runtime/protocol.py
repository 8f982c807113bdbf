"""Defines what the runtime asks of an agent. It calls these functions and knows nothing of what is inside."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax

from dreamerax.envs.base import EnvBatch
from dreamerax.types import Array, ArrayDict, ArraySpec, Batch

State = Any  # pytree of everything that training changes
Params = Any  # pytree: the part of the state that acting needs
Carry = Any  # pytree [E, ...]: what the policy remembers from step to step


class MakeEnvs(Protocol):
  """Makes environments, each with a seed that follows from the given one."""

  def __call__(self, num_envs: int, seed: int, /, *, film: bool = False) -> EnvBatch:
    """Makes environments. film: whether they can be drawn for people, by
    `EnvBatch.render`, where they show no images."""
    ...


class Agent(Protocol):
  """Pure functions over pytrees; all but the counts and specs are traced under jit."""

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    """Latents per step that replay stores."""
    ...

  def parameter_count(self) -> int:
    """Number of optimised parameters."""
    ...

  def init(self, key: jax.Array) -> State:
    """Returns the state before the first update."""
    ...

  def policy_params(self, state: State) -> Params:
    """The part of the state that acting needs; a selection, called outside jit."""
    ...

  def initial_carry(self, num_envs: int) -> Carry:
    """Returns the policy's memory before the first observation."""
    ...

  def act(
    self, params: Params, carry: Carry, observation: ArrayDict, is_first: Array, key: jax.Array, *, explore: bool
  ) -> tuple[jax.Array, Carry, Mapping[str, jax.Array]]:
    """Actions [E, A], the next carry and the latents [E, ...]; `explore` is static, False takes the mode."""
    ...

  def update(
    self, state: State, batch: Batch, key: jax.Array
  ) -> tuple[State, Mapping[str, jax.Array], Mapping[str, jax.Array]]:
    """The next state, refreshed latents [B, T, ...], metrics {name: scalar}; losses are called "loss/<name>"."""
    ...

  def report(self, state: State, batch: Batch, key: jax.Array) -> Mapping[str, jax.Array]:
    """Scalars, and uint8 videos [T, H, W, 3], for people."""
    ...
