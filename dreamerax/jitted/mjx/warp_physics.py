"""The simulator of MuJoCo Warp, which steps a batch on a graphics card."""

from typing import Any

import jax
import mujoco_warp  # pyright: ignore[reportMissingImports]
import numpy as np
import warp as wp  # pyright: ignore[reportMissingImports]

from dreamerax.jitted.mjx.scene import GIVEN, STEPPED, SceneArrays, called, mujoco
from dreamerax.jitted.mjx.warp_calls import device, grows_by, stepping


class WarpPhysics:
  """A Physics, in 32 bits."""

  def __init__(self, model: Any):
    self._model = model
    self._worlds: dict[int, Any] = {}  # by number of environments: Warp's data
    forces = np.zeros(max(1, model.nsensordata), np.int32)
    for sensor in np.flatnonzero(model.sensor_needstage == mujoco.mjtStage.mjSTAGE_ACC):
      forces[model.sensor_adr[sensor] : model.sensor_adr[sensor] + model.sensor_dim[sensor]] = 1
    with wp.ScopedDevice(device()):
      self._on_device, self._forces = mujoco_warp.put_model(model), wp.array(forces)
    self._call = stepping(self._run, model, self._prepare)

  def step(self, scene: SceneArrays, ctrl: jax.Array, steps: int) -> SceneArrays:
    return called(self._call, scene, ctrl, steps)

  def extra_bytes(self) -> int:
    return grows_by(lambda count: mujoco_warp.make_data(self._model, nworld=count))

  def _prepare(self, num_envs: int) -> None:
    """Makes what is kept between calls, and compiles kernels, before a call is recorded as a graph."""
    if num_envs in self._worlds:
      return
    with wp.ScopedDevice(device()):
      data = self._worlds[num_envs] = mujoco_warp.make_data(self._model, nworld=num_envs)
      mujoco_warp.step(self._on_device, data)
      mujoco_warp.step1(self._on_device, data)
      mujoco_warp.forward(self._on_device, data)

  def _run(self, steps: int, *arrays: wp.array) -> None:
    given, shown = arrays[: len(GIVEN)], dict(zip(STEPPED, arrays[len(GIVEN) :], strict=True))
    model, data = self._on_device, self._worlds[len(given[0])]
    for name, array in zip(GIVEN, given, strict=True):
      wp.copy(getattr(data, name), array)
    for _ in range(steps):
      mujoco_warp.step(model, data)
    if steps and self._model.nsensordata:
      sensors = wp.clone(data.sensordata)
      mujoco_warp.step1(model, data)  # positions and velocities of what it led to; sensors of forces are zeros then
      wp.launch(_keep, data.sensordata.shape, [self._forces, sensors], [data.sensordata])
    elif steps:
      mujoco_warp.step1(model, data)
    else:
      mujoco_warp.forward(model, data)
    ncon = shown.pop("ncon")
    ncon.zero_()
    wp.launch(_count, data.contact.worldid.shape, [data.nacon, data.contact.worldid], [ncon])
    for name, array in shown.items():
      value = getattr(data, name)
      if value.size:
        wp.copy(array, value)
      else:
        array.zero_()


@wp.kernel
def _keep(chosen: wp.array(dtype=int), values: wp.array2d(dtype=float), to: wp.array2d(dtype=float)):  # pyright: ignore
  world, index = wp.tid()  # pyright: ignore
  if chosen[index] == 1:
    to[world, index] = values[world, index]


@wp.kernel
def _count(total: wp.array(dtype=int), worlds: wp.array(dtype=int), counts: wp.array(dtype=int)):  # pyright: ignore
  contact = wp.tid()
  if contact < total[0]:
    wp.atomic_add(counts, worlds[contact], 1)
