"""Defines what a task adds to a model, and the starts that several tasks share."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.jitted.mjx.scene import Physics, SceneArrays, at_rest, mujoco


class ArrayTask(abc.ABC):
  """Rewards, observations and starts, equal to those of dm_control's task of that name."""

  moved: tuple[int, ...] = ()
  """Geoms of the world that an episode puts elsewhere than the model says; `begin` does, for the picture and the reward."""

  def __init__(self, model: Any, substeps: int):
    """
    Args:
      model: a `mujoco.MjModel` as dm_control's task has changed it.
      substeps: steps of the simulator in a control step.
    """
    self.model, self.substeps = model, substeps

  @abc.abstractmethod
  def begin(self, key: jax.Array, physics: Physics) -> SceneArrays:
    """The first scene of an episode."""

  @abc.abstractmethod
  def reward(self, scene: SceneArrays) -> jax.Array:
    """The reward of the step that led to `scene`, []."""

  @abc.abstractmethod
  def vectors(self, scene: SceneArrays) -> dict[str, jax.Array]:
    """The task's own observations, in dm_control's order."""

  def placed(self, before: SceneArrays, after: SceneArrays) -> SceneArrays:
    """The scene after a step, with the geoms that an episode has moved where they were."""
    if not self.moved:
      return after
    moved = np.array(self.moved)
    return after._replace(geom_xpos=jnp.asarray(after.geom_xpos).at[moved].set(before.geom_xpos[moved]))

  def body(self, name: str) -> int:
    return self._id("BODY", name)

  def geom(self, name: str) -> int:
    return self._id("GEOM", name)

  def site(self, name: str) -> int:
    return self._id("SITE", name)

  def sensor(self, name: str) -> slice:
    """Where the sensor's numbers are in `sensordata`."""
    number = self._id("SENSOR", name)
    begin = int(self.model.sensor_adr[number])
    return slice(begin, begin + int(self.model.sensor_dim[number]))

  def look(self, qpos: jax.Array, physics: Physics, qvel: jax.Array | None = None) -> SceneArrays:
    """The scene of these joints, at rest where no velocities are given."""
    scene = at_rest(self.model)
    scene = scene._replace(qpos=qpos, qvel=scene.qvel if qvel is None else qvel)
    return physics.step(scene, scene.ctrl, 0)

  def any_joints(self, key: jax.Array) -> jax.Array:
    """qpos with each limited joint anywhere within its limits, each other hinge at any angle."""
    model, unlimited = self.model, self.model.jnt_limited == 0
    hinges = model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
    low, high = model.jnt_range.T.copy()
    low[unlimited], high[unlimited] = np.where(hinges, [[-np.pi], [np.pi]], model.qpos0)[:, unlimited]
    return jax.random.uniform(key, low.shape, minval=low, maxval=high)

  def without_contact(self, key: jax.Array, draw: Callable[[jax.Array], jax.Array], physics: Physics) -> SceneArrays:
    """The scene of the first joints that `draw` gives, key after key, where nothing touches."""

    def again(carry: tuple[jax.Array, SceneArrays]) -> tuple[jax.Array, SceneArrays]:
      key, now = jax.random.split(carry[0])
      return key, self.look(draw(now), physics)

    key, now = jax.random.split(key)
    return jax.lax.while_loop(lambda carry: carry[1].ncon > 0, again, (key, self.look(draw(now), physics)))[1]

  def _id(self, kind: str, name: str) -> int:
    number = mujoco.mj_name2id(self.model, getattr(mujoco.mjtObj, f"mjOBJ_{kind}"), name)
    assert number >= 0, f"the model has no {kind.lower()} {name!r}"
    return number


def distance(vector: jax.Array) -> jax.Array:
  """Its length: []."""
  return jnp.sqrt((vector**2).sum())
