"""Pictures of dm_control's simulations, drawn by rendering contexts that simulations of the same model share.

A context holds what does not move, textures and meshes, and what is drawn into, a frame's buffers and the shadow map: 50 MB
in the suite. Where each of a worker's environments has its own, every frame finds none of that in the processor's cache.
"""

import hashlib
import importlib
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np


def camera(physics: Any, camera_id: int, size: int, flags: Mapping[str, bool]) -> Callable[[], np.ndarray]:
  """Takes pictures of `physics` as it is: a function without arguments, to a new uint8 [size, size, 3].

  The model's visual settings are those of now, and its buffer must have room. Call the function in one thread only.

  Args:
    physics: a `dm_control.mujoco.Physics`, not yet reset: episodes move things, by which equal models would no longer be known.
    camera_id: of the model's cameras.
    flags: of MuJoCo's renderer, by name.
  """
  # Imported here and below, because importing either binds the process to a rendering backend.
  from dm_control.mujoco import engine

  kind = _kind(physics.model.ptr)
  eye = None

  def take() -> np.ndarray:
    nonlocal eye
    # Made late, because it makes the context; and once, where `physics.render` would build a scene for every frame.
    eye = eye or engine.Camera(_staged(physics, kind), height=size, width=size, camera_id=camera_id)
    # dm_control answers with an upside-down view of a buffer that it uses again.
    return np.array(eye.render(render_flag_overrides=flags), order="C")

  return take


class _Contexts:
  """The contexts of OpenGL and of MuJoCo for one model; they are freed with the last
  camera that has them."""

  def __init__(self, model: Any):
    from dm_control import _render
    from dm_control.mujoco import wrapper

    buffer = model.vis.global_
    self.gl = _render.Renderer(max_width=buffer.offwidth, max_height=buffer.offheight)
    self.mujoco = wrapper.MjrContext(model, self.gl)


# By thread, because OpenGL lets a context be current in one only, and by model.
_shared: WeakValueDictionary[tuple[threading.Thread, bytes], _Contexts] = WeakValueDictionary()


def _kind(model: Any) -> bytes | None:
  """Identifies a `mujoco.MjModel`: equal for equal ones; None where episodes change
  what a context holds, which is then not shared."""
  if model.nhfield:  # terrain: made anew for every episode, and sent to the simulation's own context
    return None
  mujoco: Any = importlib.import_module("mujoco")  # Any, because its stubs leave out the two functions
  content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
  mujoco.mj_saveModel(model, None, content)
  return hashlib.sha256(content.tobytes()).digest()


def _staged(physics: Any, kind: bytes | None) -> Any:
  """`physics` as a camera looks at it: its model, its data, and the contexts to draw them with."""
  if kind is None:
    return physics
  key = threading.current_thread(), kind
  contexts = _shared.get(key) or _shared.setdefault(key, _Contexts(physics.model))
  return SimpleNamespace(model=physics.model, data=physics.data, contexts=contexts)
