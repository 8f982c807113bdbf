"""MuJoCo's own simulator, called from programs of jax on the CPU."""

from typing import Any

import jax
import warp as wp  # pyright: ignore[reportMissingImports]

from dreamerax.jitted.mjx.host import Host
from dreamerax.jitted.mjx.scene import GIVEN, SceneArrays, called
from dreamerax.jitted.mjx.warp_calls import stepping


class HostPhysics:
  """A Physics. Warp makes one call at a time, so that one simulator is enough."""

  def __init__(self, model: Any):
    self._host = Host(model)
    self._call = stepping(self._run, model)

  def step(self, scene: SceneArrays, ctrl: jax.Array, steps: int) -> SceneArrays:
    return called(self._call, scene, ctrl, steps)

  def extra_bytes(self) -> int:
    return 0

  def _run(self, steps: int, *arrays: wp.array) -> None:
    views = [array.numpy() for array in arrays]  # of jax's own memory
    self._host.run(steps, views[: len(GIVEN)], views[len(GIVEN) :])
