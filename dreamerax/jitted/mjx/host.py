"""Steps scenes by MuJoCo itself, one after the other, in 64 bits from states of 32."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamerax.jitted.mjx.scene import GIVEN, STEPPED, mujoco


class Host:
  """One simulator, which all environments use in turn."""

  def __init__(self, model: Any):
    self._model = copy.copy(model)
    # A state that is not finite stays so, and ends the run or the episode, where MuJoCo would put another in its place.
    self._model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    self._data = mujoco.MjData(self._model)

  def run(self, steps: int, given: Sequence[np.ndarray], shown: Sequence[np.ndarray]) -> None:
    """Takes so many steps, as dm_control does; none: computes all that follows from qpos and qvel.

    Args:
      given: arrays [E, ...] of GIVEN.
      shown: arrays [E, ...] of STEPPED, which are written: with zeros where the model has none.
    """
    model, data = self._model, self._data
    for row in range(len(given[0])):
      for name, array in zip(GIVEN, given, strict=True):
        getattr(data, name)[:] = array[row]
      if steps:
        mujoco.mj_step(model, data, steps)
        mujoco.mj_step1(model, data)  # positions and velocities of what it led to
      else:
        mujoco.mj_forward(model, data)
      for name, array in zip(STEPPED, shown, strict=True):
        value = np.asarray(getattr(data, name))
        array[row] = value.reshape(array.shape[1:]) if value.size else 0
