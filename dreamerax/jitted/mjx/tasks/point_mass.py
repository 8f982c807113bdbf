"""A point mass in the plane that is to reach the middle."""

from typing import Any

import jax

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask, distance


class PointMassTask(ArrayTask):
  def __init__(self, model: Any, substeps: int):
    super().__init__(model, substeps)
    self._mass, self._target = self.geom("pointmass"), self.geom("target")
    self._size = float(model.geom_size[self._target, 0])

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    return self.look(self.any_joints(key), physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    far = distance(scene.geom_xpos[self._target] - scene.geom_xpos[self._mass])
    small_control = tolerance(scene.ctrl, margin=1, shape="quadratic", at_margin=0).mean()
    return tolerance(far, (0, self._size), self._size) * (small_control + 4) / 5

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    return {"position": scene.qpos, "velocity": scene.qvel}
