"""Two poles that hang from each other, of which the lower one is to be swung up."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask, distance


class AcrobotTask(ArrayTask):
  def __init__(self, model: Any, substeps: int, *, sparse: bool = False):
    super().__init__(model, substeps)
    self._sparse = sparse
    self._arms = np.array([self.body("upper_arm"), self.body("lower_arm")])
    self._tip, self._target = self.site("tip"), self.site("target")
    self._radius = float(model.site_size[self._target, 0])

  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    return self.look(jax.random.uniform(key, (2,), minval=-jnp.pi, maxval=jnp.pi), physics)

  def reward(self, scene: SceneArrays) -> jax.Array:
    far = distance(scene.site_xpos[self._target] - scene.site_xpos[self._tip])
    return tolerance(far, (0, self._radius), 0 if self._sparse else 1)

  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    arms = scene.xmat[self._arms]
    return {"orientations": jnp.concatenate([arms[:, 0, 2], arms[:, 2, 2]]), "velocity": scene.qvel}
