"""A task of MuJoCo as an array program."""

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.jitted.base import ArrayEnv, Outcome
from dreamerax.jitted.mjx.renderer import Renderer
from dreamerax.jitted.mjx.scene import Physics, SceneArrays
from dreamerax.jitted.mjx.tasks.base import ArrayTask
from dreamerax.types import TRUE, ActionSpec, Array


class MujocoEnv(ArrayEnv):
  """One control step is a number of steps of the simulator with the same action, as the task has it."""

  def __init__(
    self,
    task: ArrayTask,
    physics: Physics,
    renderer: Renderer | None,
    observations: tuple[str, ...],
    max_steps: int,
  ):
    """
    Args:
      renderer: draws images; None where none is among `observations`.
      observations: names of images and of the task's vectors, with true/ before those that are hidden.
      max_steps: control steps of an episode.
    """
    self._task, self._physics, self._renderer, self._names = task, physics, renderer, observations
    self.max_steps = max_steps
    self.extra_bytes = physics.extra_bytes() + (renderer.extra_bytes() if renderer else 0)
    low, high = np.asarray(task.model.actuator_ctrlrange, np.float32).T
    self._middle, self._reach = (low + high) / 2, (high - low) / 2

  @property
  def action(self) -> ActionSpec:
    return ActionSpec(int(self._task.model.nu))

  def reset(self, key: jax.Array) -> SceneArrays:
    return self._task.begin(key, self._physics)

  def step(self, state: SceneArrays, action: jax.Array) -> tuple[SceneArrays, Outcome]:
    after = self._physics.step(state, self._middle + self._reach * action, self._task.substeps)
    scene = self._task.placed(state, after)
    return scene, Outcome(self._task.reward(scene).astype(jnp.float32), jnp.zeros((), bool))

  def observe(self, state: SceneArrays) -> dict[str, Array]:
    images = self._renderer.draw(state) if self._renderer else {}
    vectors = {name: vector.reshape(-1) for name, vector in self._task.vectors(state).items()}
    shown = {**vectors, **images}
    return {name: shown[name.removeprefix(TRUE)] for name in self._names}
