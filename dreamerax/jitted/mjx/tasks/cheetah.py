"""A planar cheetah that is to run."""

from typing import Any

import jax
import numpy as np

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask

_SPEED = 10  # in metres a second
_SETTLING = 200  # steps of the simulator before an episode


class CheetahTask(ArrayTask):
  def __init__(self, model: Any, substeps: int):
    super().__init__(model, substeps)
    self._velocity = self.sensor("torso_subtreelinvel")

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    limited = self.model.jnt_limited == 1
    low, high = np.where(limited, self.model.jnt_range.T, self.model.qpos0)
    scene = self.look(jax.random.uniform(key, low.shape, minval=low, maxval=high), physics)
    settled = physics.step(scene, scene.ctrl, _SETTLING)
    return physics.step(settled, scene.ctrl, 0)

  def reward(self, scene: SceneArrays) -> jax.Array:
    return tolerance(scene.sensordata[self._velocity][0], (_SPEED, float("inf")), _SPEED, "linear", 0)

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    return {"position": scene.qpos[1:], "velocity": scene.qvel}
