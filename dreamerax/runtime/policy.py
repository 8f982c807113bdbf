"""The agent's `act` under jit, for collecting (explore) and for evaluating (mode)."""

from collections.abc import Mapping

import jax
import numpy as np

from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.protocol import Agent, Carry, Params
from dreamerax.runtime.sharding import local_mesh, replicated
from dreamerax.types import Transition


class Policy:
  """Compiled once for each number of environments."""

  def __init__(self, agent: Agent, *, explore: bool, key: jax.Array):
    """
    Args:
      explore: True samples actions, False takes the mode.
      key: every call folds its index into it.
    """
    self._where = replicated(local_mesh())
    self._key = jax.device_put(key, self._where)
    self._agent = agent

    def act(params, carry, observation, is_first, key, index):
      return agent.act(params, carry, observation, is_first, jax.random.fold_in(key, index), explore=explore)

    self._act = jax.jit(act, out_shardings=self._where)

  def initial_carry(self, num_envs: int) -> Carry:
    """What the policy remembers before the first step."""
    return jax.device_put(self._agent.initial_carry(num_envs), self._where)

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
    actions, carry, latents = self._act(params, carry, row.observation, row.is_first, self._key, np.uint32(index))
    actions = np.asarray(actions)
    if not np.isfinite(actions).all():
      raise Diverged("the policy's actions are no longer finite numbers: lower the learning rate")
    return actions, carry, latents
