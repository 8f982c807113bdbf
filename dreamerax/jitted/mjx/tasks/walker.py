"""A planar walker: to stand, walk or run."""

from typing import Any

import jax
import jax.numpy as jnp

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask

_HEIGHT = 1.2  # of a torso that stands, in metres


class WalkerTask(ArrayTask):
  def __init__(self, model: Any, substeps: int, *, speed: float):
    """speed: to be reached, in metres a second; 0: it is to stand."""
    super().__init__(model, substeps)
    self._speed = speed
    self._torso, self._velocity = self.body("torso"), self.sensor("torso_subtreelinvel")

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    return self.look(self.any_joints(key), physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    standing = tolerance(scene.xpos[self._torso, 2], (_HEIGHT, float("inf")), _HEIGHT / 2)
    upright = (1 + scene.xmat[self._torso, 2, 2]) / 2
    stands = (3 * standing + upright) / 4
    if not self._speed:
      return stands
    speed = scene.sensordata[self._velocity][0]
    moves = tolerance(speed, (self._speed, float("inf")), self._speed / 2, "linear", 0.5)
    return stands * (5 * moves + 1) / 6

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    orientations = jnp.stack([scene.xmat[1:, 0, 0], scene.xmat[1:, 0, 2]], -1)
    return {
      "orientations": orientations.reshape(-1),
      "height": scene.xpos[self._torso, 2],
      "velocity": scene.qvel,
    }
