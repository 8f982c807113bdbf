"""The DeepMind Control Suite, from pixels: `dmc/<domain>_<task>`."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dreamerax.envs.base import Environment
from dreamerax.envs.names import near
from dreamerax.envs.suites import rendering
from dreamerax.envs.suites.cameras import camera
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.types import TRUE, ArraySpec

if TYPE_CHECKING:
  from dreamerax.envs.config import EnvConfig

PREFIX = "dmc/"
IMAGE = "image"


class Quality(NamedTuple):
  """Settings of the renderer; None leaves one to dm_control."""

  shadow_map: int | None = None  # side of the shadow map, dearest part of a frame in software; the suite's: 2048
  shadow_maps: Mapping[str, int] = MappingProxyType({})  # of domains that need a finer one
  samples: int | None = None  # of a pixel, against jagged edges
  facets: tuple[int, int] | None = None  # of spheres and capsules, around their axis and along it; MuJoCo's: 28 and 16
  flags: Mapping[str, bool] = MappingProxyType({})  # of MuJoCo's renderer


QUALITIES: Mapping[str, Quality] = {
  "published": Quality(),
  # At most 0.2 % of pixels differ, but for dog's and those of quadruped_escape: docs/performance.md.
  "balanced": Quality(
    shadow_map=512, shadow_maps=MappingProxyType({"finger": 768, "quadruped": 768, "humanoid_CMU": 1024})
  ),
  "coarse": Quality(shadow_map=256, samples=0, facets=(12, 8), flags=MappingProxyType({"reflection": False})),
  "fast": Quality(samples=0, facets=(12, 8), flags=MappingProxyType({"shadow": False, "reflection": False})),
}
# Names from the papers that are not the suite's own.
ALIASES = {"cup_catch": "ball_in_cup_catch"}
IMAGE_SIZE = 64  # side of a picture in pixels, as published
CAMERAS = {"quadruped": 2}  # of "image", by domain, where it is not 0


def task_names() -> tuple[str, ...]:
  """Every task of the suite, as `dmc/<domain>_<task>`. Works without a rendering backend, too."""
  return tuple(PREFIX + name for name in _tasks())


def load(
  task: str,
  seed: int,
  *,
  action_repeat: int = 1,
  image_size: int = IMAGE_SIZE,
  rendering_quality: str = "published",
  observations: tuple[str, ...] = ("image",),
) -> Environment:
  """One task, its control time step and time limit untouched.

  Args:
    task: a name from `task_names`, or "dmc/cup_catch".
    seed: below 2**32; the same seed gives the same episodes, to the bit.
    action_repeat: control steps per action; only the last of them is rendered.
    image_size: side of the square pictures, uint8 [size, size, 3].
    rendering_quality: a key of QUALITIES. "published" leaves every pixel as dm_control draws it.
    observations: "image", from camera 0 (quadruped's from 2), "image/<camera>", from another of the model's, and names of
      the task's own vectors (float32).

  Raises:
    KeyError: no such task.
    ValueError: the task has no observation by that name.
    RuntimeError: no rendering backend works here.
  """
  name = task.removeprefix(PREFIX)
  domain, behaviour = _tasks()[ALIASES.get(name, name)]
  env = import_suite().load(domain, behaviour, task_kwargs={"random": seed})
  quality = QUALITIES[rendering_quality]
  quality = quality._replace(shadow_map=quality.shadow_maps.get(domain, quality.shadow_map))
  cameras = views(env.physics, observations, CAMERAS.get(domain, 0), image_size, quality)
  return DmEnv(env, name=task, observations=observations, cameras=cameras, action_repeat=action_repeat)


def make(config: "EnvConfig", seed: int) -> Environment:
  """Makes what `load` does, with the settings of `config`."""
  check(config.task)
  return load(
    config.task,
    seed,
    action_repeat=config.action_repeat,
    image_size=config.image_size or IMAGE_SIZE,
    rendering_quality=config.rendering,
    observations=config.observations,
  )


def check(task: str) -> None:
  """Raises ValueError: there is no such task; names the nearest."""
  if task not in (*task_names(), *(PREFIX + alias for alias in ALIASES)):
    raise ValueError(f"task={task!r} is not in the DeepMind Control Suite.{near(task, task_names(), PREFIX)}")


def names() -> tuple[str, ...]:
  """Lists what `task_names` does."""
  return task_names()


def camera_ids(model: Any, default: int) -> dict[str, int]:
  """Numbers of a model's cameras, by the names of the observations that they draw.

  Args:
    model: a `mujoco.MjModel`.
    default: the camera of "image". "image/<camera>" is from the model's camera by that name, or number where it has none.
  """
  return {IMAGE: default, **{f"{IMAGE}/{model.camera(i).name or i}": i for i in range(model.ncam)}}


def views(
  physics: Any, names: Iterable[str], default: int, size: int, quality: Quality
) -> dict[str, tuple[ArraySpec, Callable[[], np.ndarray]]]:
  """Cameras as `DmEnv` takes them: "image" from camera `default`, and those among `names` that are "image/<camera>".

  Raises:
    ValueError: the model of `physics`, which was not reset yet, has no such camera; names those that it has.
  """
  ids = camera_ids(physics.model.ptr, default)
  wanted = dict.fromkeys((IMAGE, *(name.removeprefix(TRUE) for name in names)))
  for name in wanted:
    if name.startswith(f"{IMAGE}/") and name not in ids:
      raise ValueError(f"observations={name!r}: the model has no such camera, but {', '.join(ids)}.")
  spec = ArraySpec((size, size, 3), "uint8")
  return {name: (spec, view(physics, ids[name], size, quality)) for name in wanted if name in ids}


def view(physics: Any, camera_id: int, size: int, quality: Quality) -> Callable[[], np.ndarray]:
  """Takes pictures of `physics`, which was not reset yet: a function without arguments, to a new uint8 [size, size, 3]."""
  # The model's own buffer is 640 x 480: no pixel of a picture depends on that, but all of the buffer is cleared and resolved
  # for every picture.
  visual = physics.model.vis
  visual.global_.offwidth = visual.global_.offheight = size
  if quality.shadow_map is not None:
    visual.quality.shadowsize = quality.shadow_map
  if quality.samples is not None:
    visual.quality.offsamples = quality.samples
  if quality.facets is not None:
    visual.quality.numslices, visual.quality.numstacks = quality.facets
  return camera(physics, camera_id, size, quality.flags)


def import_suite() -> Any:
  # Importing dm_control binds it to a rendering backend for good, so the choice comes first.
  rendering.choose()
  from dm_control import suite

  return suite


def _tasks() -> Mapping[str, tuple[str, str]]:
  # Looked up whole, because domains have underscores too: humanoid_CMU_run.
  try:
    pairs = import_suite().ALL_TASKS
  except rendering.NoRenderer:
    pairs = _tasks_without_renderer()
  return {f"{domain}_{task}": (domain, task) for domain, task in pairs}


@functools.cache
def _tasks_without_renderer() -> list[tuple[str, str]]:
  """Asks another process, so that this one is not bound to drawing nothing."""
  program = "import json; from dm_control import suite; print(json.dumps(suite.ALL_TASKS))"
  environment = {**os.environ, rendering.VARIABLE: "disable"}
  done = subprocess.run(
    [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=False
  )
  if done.returncode:
    raise RuntimeError(f"dm_control cannot be imported: {done.stderr.strip()}")
  return [(domain, task) for domain, task in json.loads(done.stdout)]
