"""A planner that knows the physics: it searches in a copy of the simulator, for minus the true distance to the goal."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.behavior.planners.base import Problem
from dreamerax.behavior.planning import Planning
from dreamerax.envs.suites.goal_task import GoalScene


class TruePhysics:
  """A controller as those of `goal_baselines.py`; a state [Q + V] is the simulator's positions and velocities.

  Its plans look at every step of the way: the reward of a state is minus its distance to the goal.
  """

  def __init__(self, scene: GoalScene, physics: Any, planning: Planning, action_repeat: int = 1):
    """
    Args:
      physics: of the scene; copied.
      planning: how plans are searched, and for how many actions one serves.
      action_repeat: control steps that an action is repeated for.
    """
    self._scene, self._physics, self._aim = scene, physics.copy(share_model=True), physics.copy(share_model=True)
    self._planner, self._planning, self._repeat = planning.planner, planning, action_repeat
    self._size = scene.action_spec(physics).shape[0]
    self._search = jax.jit(self._plan)
    self._plan_now, self._age = np.zeros((self._planner.horizon, self._size)), 0

  def __call__(self, physics: Any, aim: Any, random: np.random.RandomState) -> np.ndarray:
    """Searches anew every few actions, and at the start of an episode."""
    self._age = 0 if physics.data.time == 0 else (self._age + 1) % self._planning.replan_every
    if self._age == 0:
      self.aim_at(aim)
      state = np.concatenate([physics.data.qpos, physics.data.qvel])
      key = jax.random.key(random.randint(2**31))
      self._plan_now = np.asarray(self._search(key, state.astype(np.float32)))
    return self._plan_now[self._age]

  def aim_at(self, goal: Any) -> None:
    """Distances are to this state of the physics from now on, as they are to that of each call."""
    self._aim = goal

  def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """States [N, Q + V] and actions [N, A] -> the states they lead to."""
    after = np.zeros_like(states)
    for state, action, result in zip(np.asarray(states), np.asarray(actions), after, strict=True):
      self._set(state)
      for _ in range(self._repeat):
        self._scene.act(self._physics, action)
        self._physics.step(self._scene.substeps)
      result[:] = np.concatenate([self._physics.data.qpos, self._physics.data.qvel])
    return after

  def distance(self, states: np.ndarray) -> np.ndarray:
    """States [N, Q + V] -> their distances [N] to the goal, in the scene's measure."""
    distances = []
    for state in np.asarray(states):
      self._set(state)
      distances.append(self._scene.distance(self._physics, self._aim))
    return np.array(distances, np.float32)

  def _set(self, state: np.ndarray) -> None:
    positions = len(self._physics.data.qpos)
    self._physics.data.qpos[:], self._physics.data.qvel[:] = state[:positions], state[positions:]
    self._physics.forward()

  def _plan(self, key: jax.Array, state: jax.Array) -> jax.Array:
    def step(states: jax.Array, actions: jax.Array) -> jax.Array:
      return jax.pure_callback(self.step, jax.ShapeDtypeStruct(states.shape, jnp.float32), states, actions)

    def reward(states: jax.Array) -> jax.Array:
      return -jax.pure_callback(self.distance, jax.ShapeDtypeStruct(states.shape[:1], jnp.float32), states)

    problem = Problem(
      start=state,
      step=lambda states, actions, key: step(states, actions),
      expect=step,
      reward=reward,
      discount=self._planning.discount,
      final_weight=self._planning.final_weight,
    )
    return self._planner.plan(key, problem, jnp.zeros((self._planner.horizon, self._size)))
