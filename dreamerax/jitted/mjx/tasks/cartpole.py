"""Poles on a cart: to be kept upright, or swung up first."""

from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask


class CartpoleTask(ArrayTask):
  def __init__(self, model: Any, substeps: int, *, swing_up: bool, sparse: bool = False):
    super().__init__(model, substeps)
    self._swing_up, self._sparse = swing_up, sparse

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    places, speeds = jax.random.split(key)
    count = self.model.nq
    if self._swing_up:
      middle = jnp.zeros(count).at[1].set(jnp.pi)
      qpos = middle + jnp.full(count, 0.1).at[:2].set(0.01) * jax.random.normal(places, (count,))
    else:
      qpos = jnp.full(count, 0.034).at[0].set(0.1) * jax.random.uniform(places, (count,), minval=-1)
    return self.look(qpos, physics, 0.01 * jax.random.normal(speeds, (count,)))

  def reward(self, scene: SceneArrays) -> jax.Array:
    cart, upright = scene.qpos[0], scene.xmat[2:, 2, 2]
    if self._sparse:
      return tolerance(cart, (-0.25, 0.25)) * tolerance(upright, (0.995, 1)).prod()
    centred = (1 + tolerance(cart, margin=2)) / 2
    small_control = (4 + tolerance(scene.ctrl, margin=1, shape="quadratic", at_margin=0)[0]) / 5
    small_velocity = (1 + tolerance(scene.qvel[1:], margin=5).min()) / 2
    return ((upright + 1) / 2).mean() * small_control * small_velocity * centred

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    poles = jnp.stack([scene.xmat[2:, 2, 2], scene.xmat[2:, 0, 2]], -1)
    return {"position": jnp.concatenate([scene.qpos[:1], poles.reshape(-1)]), "velocity": scene.qvel}
