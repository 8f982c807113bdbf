"""Acts in environments: the agent under jit, exploring or by its mode, or uniform actions to fill the replay."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from dreamerax.envs.suites.actions import random_actions
from dreamerax.runtime.devices.mesh import policy_mesh
from dreamerax.runtime.devices.sharding import put_on, replicated, rows_sharded
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.protocol import Agent, Carry, Params
from dreamerax.types import EnvSpec, Transition


class Acting(Protocol):
  """Chooses the actions of an experience that is collected."""

  uniform: bool
  """Whether every action is equally likely, whatever is seen."""

  def initial_carry(self, num_envs: int) -> Carry:
    """Returns the memory before the first step."""
    ...

  def __call__(
    self, params: Params, carry: Carry, row: Transition, index: int
  ) -> tuple[np.ndarray, Carry, Mapping[str, jax.Array] | Mapping[str, np.ndarray]]:
    """Actions [E, A] on the host, the next carry, and the latents [E, ...].

    Args:
      row: the newest step of E environments, [E, ...].
      index: number of this call; the same index draws the same noise.

    Raises:
      Diverged: an action is not finite.
    """
    ...


class AgentPolicy:
  """An agent's policy, compiled once for each number of environments."""

  uniform = False

  def __init__(self, agent: Agent, *, explore: bool, key: jax.Array, mesh: Mesh | None = None):
    """
    Args:
      explore: True samples actions, False takes the mode.
      key: every call folds its index into it.
      mesh: devices that it acts on, each for an equal part of the environments where that is possible; by default
        `policy_mesh()`.
    """
    self._mesh = mesh or policy_mesh()
    self._given: Params = None  # the parameters of the newest call, and where they were put
    self._params: Params = None
    self._key = jax.device_put(key, replicated(self._mesh))
    self._agent = agent

    def act(params, carry, observation, is_first, key, index):
      outputs = agent.act(params, carry, observation, is_first, jax.random.fold_in(key, index), explore=explore)
      return jax.lax.with_sharding_constraint(outputs, rows_sharded(self._mesh, len(is_first)))

    self._act = jax.jit(act)

  @property
  def device(self) -> Any:
    """The first device of jax that it acts on."""
    return self._mesh.devices.flat[0]

  def initial_carry(self, num_envs: int) -> Carry:
    """Returns the policy's memory before the first step."""
    return jax.device_put(self._agent.initial_carry(num_envs), rows_sharded(self._mesh, num_envs))

  def __call__(
    self, params: Params, carry: Carry, row: Transition, index: int
  ) -> tuple[np.ndarray, Carry, Mapping[str, jax.Array]]:
    """Waits for the actions.

    Args:
      row: the newest step of E environments, [E, ...].
      index: number of this call; the same index draws the same noise.

    Returns:
      Actions [E, A] on the host, the next carry, and the latents [E, ...] on the device.

    Raises:
      Diverged: an action is not finite.
    """
    if params is not self._given:
      self._given, self._params = params, put_on(params, self._mesh)
    observation = row.observation
    # Those of an array program may be on another device.
    if any(isinstance(array, jax.Array) for array in observation.values()):
      observation = jax.device_put(observation, rows_sharded(self._mesh, len(row.is_first)))
    actions, carry, latents = self._act(self._params, carry, observation, row.is_first, self._key, np.uint32(index))
    actions = np.asarray(actions)
    if not np.isfinite(actions).all():
      raise Diverged("the policy's actions are no longer finite numbers: lower the learning rate")
    return actions, carry, latents


class UniformPolicy:
  """Uniform actions, to fill the replay before the first update; called like `AgentPolicy`."""

  uniform = True

  def __init__(self, agent: Agent, spec: EnvSpec, seed: int):
    """spec: of the environments that are acted in."""
    self._agent, self._spec, self._seed = agent, spec, seed

  def initial_carry(self, num_envs: int) -> Carry:
    """Returns nothing: uniform actions need no memory."""
    return {}

  def __call__(
    self, params: Params, carry: Carry, row: Transition, index: int
  ) -> tuple[np.ndarray, Carry, Mapping[str, np.ndarray]]:
    """Actions [E, A], and zeros as latents [E, ...], as if each step began a sequence."""
    rng = np.random.default_rng((self._seed, index))
    count = len(row.reward)
    actions = random_actions(self._spec.action, rng, count)
    return actions, carry, {k: np.zeros((count, *x.shape), x.dtype) for k, x in self._agent.latent_spec.items()}
