"""A planar hopper: to stand or to hop."""

from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask

_HEIGHT, _SPEED = 0.6, 2  # in metres, and metres a second


class HopperTask(ArrayTask):
  def __init__(self, model: Any, substeps: int, *, hopping: bool):
    super().__init__(model, substeps)
    self._hopping = hopping
    self._torso, self._foot = self.body("torso"), self.body("foot")
    self._velocity = self.sensor("torso_subtreelinvel")
    self._touch = self.sensor("touch_toe"), self.sensor("touch_heel")

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    return self.look(self.any_joints(key), physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    standing = tolerance(scene.xipos[self._torso, 2] - scene.xipos[self._foot, 2], (_HEIGHT, 2))
    if self._hopping:
      speed = scene.sensordata[self._velocity][0]
      return standing * tolerance(speed, (_SPEED, float("inf")), _SPEED / 2, "linear", 0.5)
    small_control = tolerance(scene.ctrl, margin=1, shape="quadratic", at_margin=0).mean()
    return standing * (small_control + 4) / 5

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    touch = jnp.concatenate([scene.sensordata[at] for at in self._touch])
    return {"position": scene.qpos[1:], "velocity": scene.qvel, "touch": jnp.log1p(touch)}
