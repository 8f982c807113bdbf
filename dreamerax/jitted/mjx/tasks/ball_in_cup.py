"""A ball on a string that is to be caught in a cup."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask

_PLACES = np.array([[-0.2, 0.2], [0.2, 0.5]], np.float32)  # lowest x and z of the ball, and highest


class BallInCupTask(ArrayTask):
  def __init__(self, model: Any, substeps: int):
    super().__init__(model, substeps)
    self._ball, self._target = self.body("ball"), self.site("target")
    self._room = model.site_size[self._target, [0, 2]] - model.geom_size[self.geom("ball"), 0]
    self._joints = np.array([model.joint(name).qposadr[0] for name in ("ball_x", "ball_z")])

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    def draw(key: jax.Array) -> jax.Array:
      place = jax.random.uniform(key, (2,), minval=_PLACES[0], maxval=_PLACES[1])
      return jnp.asarray(self.model.qpos0, jnp.float32).at[self._joints].set(place)

    return self.without_contact(key, draw, physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    far = jnp.abs(scene.site_xpos[self._target] - scene.xpos[self._ball])[::2]
    return (far < self._room).all().astype(jnp.float32)

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    return {"position": scene.qpos, "velocity": scene.qvel}
