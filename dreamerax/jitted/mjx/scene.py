"""What the simulator knows of one environment, and how the functions that compute it are called from jax."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

mujoco: Any = importlib.import_module("mujoco")  # Any, because its stubs leave out the fields of models and data


class SceneArrays(NamedTuple):
  """The state of one environment, float32 in units of the model, and what follows from it: fields of MuJoCo's mjData."""

  qpos: jax.Array  # [nq]
  qvel: jax.Array  # [nv]
  qacc_warmstart: jax.Array  # [nv], where the solver begins
  ctrl: jax.Array  # [nu], of the newest step
  xpos: jax.Array  # [nbody, 3]
  xmat: jax.Array  # [nbody, 3, 3]
  xipos: jax.Array  # [nbody, 3]
  geom_xpos: jax.Array  # [ngeom, 3]
  geom_xmat: jax.Array  # [ngeom, 3, 3]
  site_xpos: jax.Array  # [nsite or 1, 3]
  cam_xpos: jax.Array  # [ncam, 3]
  cam_xmat: jax.Array  # [ncam, 3, 3]
  light_xpos: jax.Array  # [nlight, 3]
  light_xdir: jax.Array  # [nlight, 3]
  sensordata: jax.Array  # [nsensordata or 1]: positions and velocities as they are, forces as of before the newest step
  ncon: jax.Array  # int32 [], contacts


class Physics(Protocol):
  """Steps one environment; a batch under jax.vmap, in one call."""

  def step(self, scene: SceneArrays, ctrl: jax.Array, steps: int) -> SceneArrays:
    """Takes so many steps of the simulator with `ctrl` [nu]; none: computes all that follows from qpos and qvel."""
    ...

  def extra_bytes(self) -> int:
    """Memory for each environment beside its scene."""
    ...


def at_rest(model: Any) -> SceneArrays:
  """A scene of the right shapes at the model's own position, of which nothing is computed yet."""
  zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes(model).items()}
  scene = SceneArrays(**zeros, ncon=np.zeros((), np.int32))  # pyright: ignore[reportArgumentType]
  return jax.tree.map(jnp.asarray, scene._replace(qpos=model.qpos0.astype(np.float32)))


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
  """Shapes of a scene's floats, by field. Arrays without elements have one, as calls from jax take none of size 0."""
  vectors = {"xpos": model.nbody, "xipos": model.nbody, "geom_xpos": model.ngeom, "site_xpos": max(1, model.nsite)}
  vectors |= {"cam_xpos": model.ncam, "light_xpos": model.nlight, "light_xdir": model.nlight}
  matrices = {"xmat": model.nbody, "geom_xmat": model.ngeom, "cam_xmat": model.ncam}
  return {
    "qpos": (model.nq,),
    "qvel": (model.nv,),
    "qacc_warmstart": (model.nv,),
    "ctrl": (model.nu,),
    "sensordata": (max(1, model.nsensordata),),
    **{name: (count, 3) for name, count in vectors.items()},
    **{name: (count, 3, 3) for name, count in matrices.items()},
  }


GIVEN = ("qpos", "qvel", "qacc_warmstart", "ctrl")  # what a step takes
STEPPED = tuple(name for name in SceneArrays._fields if name != "ctrl")  # what it returns


def called(function: Callable[..., Any], scene: SceneArrays, ctrl: jax.Array, steps: int) -> SceneArrays:
  """Steps one scene by a function of `steps` and arrays [E, ...] of GIVEN, which returns those of STEPPED."""
  scene = scene._replace(ctrl=ctrl)
  shown = function(steps, *(getattr(scene, name)[None] for name in GIVEN))
  return SceneArrays(ctrl=ctrl, **{name: array[0] for name, array in zip(STEPPED, shown, strict=True)})
