"""A finger that is to spin a body."""

from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask

_SPIN = 15  # radians a second


class FingerSpinTask(ArrayTask):
  def __init__(self, model: Any, substeps: int):
    super().__init__(model, substeps)
    names = ("proximal", "distal", "proximal_velocity", "distal_velocity", "hinge_velocity", "tip", "spinner")
    self._at = {name: self.sensor(name) for name in (*names, "touchtop", "touchbottom")}

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    return self.without_contact(key, self.any_joints, physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    return (self._read(scene, "hinge_velocity")[0] <= -_SPIN).astype(jnp.float32)

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    tip = self._read(scene, "tip") - self._read(scene, "spinner")
    joints = self._read(scene, "proximal", "distal")
    return {
      "position": jnp.concatenate([joints, tip[::2]]),
      "velocity": self._read(scene, "proximal_velocity", "distal_velocity", "hinge_velocity"),
      "touch": jnp.log1p(self._read(scene, "touchtop", "touchbottom")),
    }

  def _read(self, scene: SceneArrays, *sensors: str) -> jax.Array:
    return jnp.concatenate([scene.sensordata[self._at[name]] for name in sensors])
