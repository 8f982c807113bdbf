"""An array program whose images are resized."""

import jax
import jax.numpy as jnp

from dreamerax.jitted.base import ArrayEnv, Outcome, State
from dreamerax.types import ActionSpec, Array, ArrayDict


class Resized(ArrayEnv):
  """Shows the images of another array program, uint8 [height, width, channels], as [size, size, channels]."""

  def __init__(self, env: ArrayEnv, size: int):
    self._env, self._size = env, size
    self.max_steps, self.extra_bytes = env.max_steps, env.extra_bytes

  @property
  def action(self) -> ActionSpec:
    return self._env.action

  def reset(self, key: jax.Array) -> State:
    return self._env.reset(key)

  def step(self, state: State, action: jax.Array) -> tuple[State, Outcome]:
    return self._env.step(state, action)

  def observe(self, state: State) -> ArrayDict:
    return {name: self._resized(jnp.asarray(array)) for name, array in self._env.observe(state).items()}

  def _resized(self, array: jax.Array) -> Array:
    """A larger picture repeats pixels; each of a smaller one is a weighted mean of those around it."""
    if array.ndim != 3 or array.dtype != jnp.uint8:
      return array
    shape = (self._size, self._size, array.shape[-1])
    if self._size >= max(array.shape[:2]):
      return jax.image.resize(array, shape, "nearest")
    return jnp.round(jax.image.resize(array.astype(jnp.float32), shape, "linear")).clip(0, 255).astype(jnp.uint8)
