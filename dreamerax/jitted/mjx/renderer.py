"""The ray tracer of MuJoCo Warp, called from programs of jax."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco_warp  # pyright: ignore[reportMissingImports]
import numpy as np
import warp as wp  # pyright: ignore[reportMissingImports]

from dreamerax.jitted.mjx.scene import SceneArrays, mujoco
from dreamerax.jitted.mjx.warp_calls import called_from_jax, device, grows_by

_SHOWN = {
  "geom_xpos": wp.vec3,
  "geom_xmat": wp.mat33,
  "cam_xpos": wp.vec3,
  "cam_xmat": wp.mat33,
  "light_xpos": wp.vec3,
  "light_xdir": wp.vec3,
}
_GROUPS = [0, 1, 2]  # of bodies that MuJoCo draws, where nothing else is said


class Renderer:
  """Draws a scene from its cameras with textures, sky and shadows, one ray a pixel; no sites, tendons and reflections."""

  def __init__(self, model: Any, images: Mapping[str, int], size: int, *, sky: int):
    """
    Args:
      images: numbers of their cameras by name.
      size: side of the pictures in pixels.
      sky: the camera for whose pixels the sky is softened.
    """
    self._model, self._images, self._size = _with_soft_sky(model, sky, size), dict(images), size
    self._cameras = sorted(set(images.values()))  # in the order of their pixels
    self._worlds: dict[int, tuple[Any, Any]] = {}  # by number of environments: Warp's data, and its render context
    with wp.ScopedDevice(device()):
      self._on_device = mujoco_warp.put_model(self._model)
    given = {name: wp.array2d(dtype=kind) for name, kind in _SHOWN.items()}
    pixels, sizes = {"pixels": wp.array2d(dtype=wp.uint32)}, {"pixels": (len(self._cameras) * size * size,)}
    self._call = called_from_jax(self._run, given, pixels, sizes, self._prepare)

  def draw(self, scene: SceneArrays) -> dict[str, jax.Array]:
    """Each image as uint8 [size, size, 3]; a batch under jax.vmap, in one call."""
    (packed,) = self._call(*(getattr(scene, name)[None] for name in _SHOWN))  # uint32 [1, C * size²], 0xaarrggbb
    colours = jnp.stack([(packed[0] >> shift).astype(jnp.uint8) for shift in (16, 8, 0)], -1)
    pictures = colours.reshape(-1, self._size, self._size, 3)
    return {name: pictures[self._cameras.index(camera)] for name, camera in self._images.items()}

  def extra_bytes(self) -> int:
    """Memory for each environment beside its scene and images."""
    return grows_by(self._kept)

  def _prepare(self, num_envs: int) -> None:
    """Makes what is kept between calls, and compiles kernels, before a call is recorded as a graph."""
    if num_envs not in self._worlds:
      with wp.ScopedDevice(device()):
        self._worlds[num_envs] = self._kept(num_envs)
        self._draw(*self._worlds[num_envs])

  def _kept(self, num_envs: int) -> tuple[Any, Any]:
    data = mujoco_warp.make_data(self._model, nworld=num_envs)
    context = mujoco_warp.create_render_context(
      self._model,
      num_envs,
      (self._size, self._size),
      render_rgb=True,
      render_depth=False,
      render_seg=False,
      use_shadows=True,
      shadow_light_fraction=0.0,
      render_skybox=True,
      enabled_geom_groups=_GROUPS,
      cam_active=self._cameras,
    )
    return data, context

  def _run(self, *arrays: wp.array) -> None:
    *shown, pixels = arrays
    data, context = self._worlds[len(pixels)]
    for name, array in zip(_SHOWN, shown, strict=True):
      setattr(data, name, array)
    context.rgb_data = pixels
    self._draw(data, context)

  def _draw(self, data: Any, context: Any) -> None:
    mujoco_warp.refit_bvh(self._on_device, data, context)
    mujoco_warp.render(self._on_device, data, context)


def _with_soft_sky(model: Any, camera: int, size: int) -> Any:
  """A copy of the model whose sky has the mean colours of squares as large as a pixel sees, as OpenGL's textures have."""
  model = copy.copy(model)
  for texture in np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX):
    width, height = int(model.tex_width[texture]), int(model.tex_height[texture])
    channels, begin = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
    side = 2 ** round(math.log2(max(1.0, width * model.cam_fovy[camera] / 90 / size)))
    side = math.gcd(width, side)
    texels = model.tex_data[begin : begin + width * height * channels]
    squares = texels.reshape(height // side, side, width // side, side, channels)
    squares[...] = np.round(squares.mean((1, 3), keepdims=True))
  return model
