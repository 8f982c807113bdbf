"""Environments by name, one at a time or many at once. NumPy only: nothing here imports jax.

`dmc/<domain>_<task>` is the DeepMind Control Suite from pixels, `gym/<id>` a gymnasium environment as it is, and
`package.module:factory` a user's own.
"""

import difflib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from dreamerax.envs import apart, rendering
from dreamerax.envs.base import EnvBatch, Environment, EpisodeSoFar, Step
from dreamerax.envs.check import check_env
from dreamerax.envs.contract import Checked
from dreamerax.envs.dm_control import ALIASES, QUALITIES, task_names
from dreamerax.envs.dm_control import PREFIX as DMC
from dreamerax.envs.dm_control import load as _load_dmc
from dreamerax.envs.episode_log import Logged
from dreamerax.envs.faults import Breach, EnvironmentFault
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.process import Setup, WorkerProcess
from dreamerax.envs.vector import SerialEnvs
from dreamerax.envs.workers import WorkerEnvs, Workers
from dreamerax.envs.wrappers import ActionRepeat
from dreamerax.own_code import check_named
from dreamerax.types import EnvSpec

__all__ = [
  "EnvBatch",
  "EnvConfig",
  "Environment",
  "EnvironmentFault",
  "EpisodeSoFar",
  "Step",
  "WorkerConfig",
  "check_env",
  "check_task",
  "look_at",
  "make",
  "make_batch",
  "task_names",
]

GYM = "gym/"
# Workers are as many as cores; further threads in each would only stand in each other's way.
_ONE_THREAD = {"LP_NUM_THREADS": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class EnvConfig:
  """Which environment, and how it is shown."""

  task: str = "dmc/walker_walk"
  """dmc/<domain>_<task>, gym/<id> or package.module:factory."""
  action_repeat: int = 1
  """Simulator steps per agent step; rewards are summed over them."""
  image_size: int = 64
  """Side of the picture in pixels (dmc only)."""
  rendering: Literal["published", "balanced", "coarse", "fast"] = "published"
  """published: every pixel as dm_control draws it. balanced: coarser shadows, in nearly every task at most 0.2 % of
  pixels differ. coarse: rough shadows, edges and round shapes, no reflections. fast: no shadows either (dmc only)."""
  observations: tuple[str, ...] = ("image",)
  """image, and names of the task's own vectors, such as position (dmc only)."""

  def __post_init__(self):
    if self.action_repeat < 1:
      raise ValueError(f"action_repeat={self.action_repeat}: it must be at least 1.")
    if self.image_size < 1:
      raise ValueError(f"image_size={self.image_size}: it must be at least 1 pixel.")
    if self.rendering not in QUALITIES:
      raise ValueError(f"rendering={self.rendering!r}: choose one of {', '.join(QUALITIES)}.")
    if not self.observations:
      raise ValueError("observations is empty: name at least one, such as image.")


@dataclass(frozen=True)
class WorkerConfig:
  """The processes that step the environments."""

  count: int | None = None
  """How many; by default one for each core, and no more than environments. 0 steps them in the trainer's own process."""
  timeout: float = 600.0
  """Seconds without an answer after which an environment counts as hung, and is ended and started again."""
  gpus: tuple[int, ...] = ()
  """EGL devices to render on, dealt out in turn; by default EGL's first (dmc only)."""

  def __post_init__(self):
    if self.count is not None and self.count < 0:
      raise ValueError(f"workers.count={self.count}: it must be at least 0.")
    if not self.timeout > 0:
      raise ValueError(f"workers.timeout={self.timeout}: it must be more than 0 seconds.")
    if any(gpu < 0 for gpu in self.gpus):
      raise ValueError(f"workers.gpus={self.gpus}: they are numbered from 0.")

  def processes(self, num_envs: int) -> int:
    """For so many environments; none for a single one, which nothing could overlap."""
    if self.count is None:
      return 0 if num_envs == 1 else min(num_envs, len(os.sched_getaffinity(0)))
    return min(num_envs, self.count)


def make(config: EnvConfig, seed: int, *, checked: bool = True) -> Environment:
  """One environment. `seed` lies in [0, 2**32).

  Args:
    checked: whether each of its answers is held against its spec: see `Checked`.

  Raises:
    ValueError: the task does not exist (the nearest names are given) or cannot be made.
    NotTrusted: it imports code, and comes from a file.
    RuntimeError: a dmc task, and no rendering backend works here.
  """
  env = _load(config, seed)
  own_replay = type(env).replay is not Environment.replay
  if checked:
    try:
      env = Checked(env)
    except Breach as breach:
      raise ValueError(f"task={config.task!r}: {breach}") from breach
    env = Logged(env, own_replay=own_replay)
  repeats = 1 if config.task.startswith(DMC) else config.action_repeat  # dm_control's repeat by themselves
  return ActionRepeat(env, repeats) if repeats > 1 else env


def _load(config: EnvConfig, seed: int) -> Environment:
  task = config.task
  check_named(task)
  if not 0 <= seed < 2**32:
    raise ValueError(f"seed={seed}: it must lie in [0, 2**32).")
  if task.startswith(DMC):
    _check_dmc(task)
    return _load_dmc(
      task,
      seed,
      action_repeat=config.action_repeat,
      image_size=config.image_size,
      rendering_quality=config.rendering,
      observations=config.observations,
    )
  if task.startswith(GYM):
    from dreamerax.envs import gymnasium  # takes a while to import, and is not always needed

    return gymnasium.load(task, seed)
  if ":" in task:
    from dreamerax.envs import custom

    return custom.load(task, seed)
  raise _unknown(task)


def check_task(task: str) -> None:
  """Whether there is such a task; quick, and works where nothing can be drawn.

  Raises:
    ValueError: the task does not exist; the nearest names are given. NotTrusted: it imports code, and comes from a file.
  """
  check_named(task)
  if task.startswith(DMC):
    _check_dmc(task)
  elif task.startswith(GYM):
    make(EnvConfig(task), seed=0).close()
  elif ":" in task:
    from dreamerax.envs import custom

    custom.find(task)
  else:
    raise _unknown(task)


def look_at(config: EnvConfig) -> EnvSpec:
  """What an environment shows and takes. One that is not ours is made, and checked as `check_env` does, in another process.

  Raises:
    what `make` raises; ValueError: what is wrong with it.
  """
  check_named(config.task)
  if config.task.startswith(DMC):
    with closing(make(config, seed=0)) as env:
      return env.spec
  if not config.task.startswith(GYM) and ":" not in config.task:
    raise _unknown(config.task)
  return apart.look(asdict(config), _ONE_THREAD)


def make_batch(
  config: EnvConfig,
  num_envs: int,
  seed: int,
  workers: WorkerConfig | None = None,
  *,
  spec: EnvSpec | None = None,
  skip_nonfinite: bool = False,
) -> EnvBatch:
  """`num_envs` environments with seeds of their own, derived from `seed`; where they step changes nothing that they show.

  Each is made with its seed, and each of its episodes begins with one that follows from it and the episode's number.

  Any environment that is not ours is first checked: see `look_at`.

  Args:
    workers: processes to step them in; None steps them in this one.
    spec: of the environments, where it is known; worker processes then make theirs while the caller does something else.
    skip_nonfinite: end an episode that shows a number that is not finite, and go on; otherwise an EnvironmentFault says it.

  Raises:
    what `make` raises; ValueError: a worker cannot make its environments (where `spec` is given, the first reset tells).
  """
  check_named(config.task)  # before a worker process gets it as plain text
  seeds = derive_seeds(seed, num_envs)
  if not config.task.startswith(DMC):
    look_at(config)
  processes = workers.processes(num_envs) if workers else 0
  if not workers or not processes:
    again = partial(make, config)
    return SerialEnvs([again(seed) for seed in seeds], seeds, make=again, skip_nonfinite=skip_nonfinite)
  start = partial(
    _start_worker,
    config,
    workers,
    num_envs,
    skip_nonfinite,
    rendering.choose() if config.task.startswith(DMC) else None,
  )
  return WorkerEnvs(Workers(start, seeds, workers=processes, timeout=workers.timeout, spec=spec))


def _start_worker(
  config: EnvConfig,
  workers: WorkerConfig,
  num_envs: int,
  skip_nonfinite: bool,
  backend: str | None,
  worker: int,
  rows: Sequence[int],
  seeds: Sequence[int],
  memory: int,
) -> WorkerProcess:
  environment = dict(_ONE_THREAD)
  if workers.gpus:
    environment[rendering.DEVICE] = str(workers.gpus[worker % len(workers.gpus)])
  return WorkerProcess(
    Setup(asdict(config), tuple(rows), tuple(seeds), num_envs, skip_nonfinite, backend), memory, environment
  )


def _check_dmc(task: str) -> None:
  if task not in (*task_names(), *(DMC + alias for alias in ALIASES)):
    raise ValueError(f"task={task!r} is not in the DeepMind Control Suite.{_near(task)}")


def _unknown(task: str) -> ValueError:
  return ValueError(
    f"task={task!r} is neither dmc/<domain>_<task> nor gym/<id> nor package.module:factory.{_near(task)}"
  )


def _near(task: str) -> str:
  """The nearest names, as a sentence."""
  near = difflib.get_close_matches(task if task.startswith(DMC) else DMC + task, task_names(), n=3, cutoff=0.5)
  return f" Did you mean {', '.join(near)}?" if near else " `dreamerax list` names the tasks."
