"""Takes a task's model from dm_control."""

import copy
from typing import Any, NamedTuple

from dreamerax.envs.suites.dm_control import CAMERAS, camera_ids, import_suite
from dreamerax.jitted.mjx.scene import mujoco


class TaskModel(NamedTuple):
  """What dm_control's task consists of, beside its functions."""

  model: Any  # mujoco.MjModel, as an episode has it
  substeps: int  # steps of the simulator in a control step
  observations: tuple[str, ...]  # names of its vectors
  cameras: dict[str, int]  # their numbers, by the names of the observations that they draw


def load(name: str) -> TaskModel:
  """
  Args:
    name: such as walker_walk.

  Raises:
    RuntimeError: dm_control finds no rendering backend, without which it is not imported.
  """
  suite = import_suite()
  domain, behaviour = next(pair for pair in suite.ALL_TASKS if "_".join(pair) == name)
  env = suite.load(domain, behaviour, task_kwargs={"random": 0})
  env.reset()  # makes its changes to the model
  model = copy.copy(env.physics.model.ptr)
  model.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_ENERGY)  # a number that nobody asks for, and Warp refuses
  substeps = round(env.control_timestep() / env.physics.timestep())
  names = tuple(env.observation_spec())
  env.close()
  return TaskModel(model, substeps, names, camera_ids(model, CAMERAS.get(domain, 0)))
