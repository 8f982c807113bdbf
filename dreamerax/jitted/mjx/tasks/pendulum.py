"""A pendulum that is to be swung up."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask

_UPRIGHT = math.cos(math.radians(8))  # at least, of the pole's angle


class PendulumTask(ArrayTask):
  def __init__(self, model: Any, substeps: int):
    super().__init__(model, substeps)
    self._pole = self.body("pole")

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    return self.look(jax.random.uniform(key, (1,), minval=-jnp.pi, maxval=jnp.pi), physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    return tolerance(scene.xmat[self._pole, 2, 2], (_UPRIGHT, 1))

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    pole = scene.xmat[self._pole]
    return {"orientation": jnp.stack([pole[2, 2], pole[0, 2]]), "velocity": scene.qvel}
