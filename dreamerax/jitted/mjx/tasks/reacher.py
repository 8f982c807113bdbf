"""An arm in the plane whose finger is to reach a target."""

from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask, distance


class ReacherTask(ArrayTask):
  def __init__(self, model: Any, substeps: int):
    super().__init__(model, substeps)
    self._finger, self._target = self.geom("finger"), self.geom("target")
    self.moved = (self._target,)
    self._reach = float(model.geom_size[[self._target, self._finger], 0].sum())

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    joints, angles, radii = jax.random.split(key, 3)
    scene = self.look(self.any_joints(joints), physics)
    angle = jax.random.uniform(angles, maxval=2 * jnp.pi)
    place = jax.random.uniform(radii, minval=0.05, maxval=0.2) * jnp.stack([jnp.sin(angle), jnp.cos(angle)])
    return scene._replace(geom_xpos=scene.geom_xpos.at[self._target, :2].set(place))

  def reward(self, scene: SceneArrays) -> jax.Array:
    return tolerance(distance(self._to_target(scene)), (0, self._reach))

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    return {"position": scene.qpos, "to_target": self._to_target(scene), "velocity": scene.qvel}

  def _to_target(self, scene: SceneArrays) -> jax.Array:
    return (scene.geom_xpos[self._target] - scene.geom_xpos[self._finger])[:2]
