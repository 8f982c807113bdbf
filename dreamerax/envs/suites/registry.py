"""The table of suites: which module makes the tasks that begin with a prefix, and which settings apply to them.

A suite is one row here and one module, which has

    make(config: EnvConfig, seed: int) -> Environment      with `film: bool`, where it adapts others' environments
    check(task: str) -> None             raises ValueError where there is no such task
    names() -> tuple[str, ...]           of its tasks; () where there are too many or the extra is missing

and is imported when one of its tasks is asked for. One whose environments step together in one call, in the run's own
process, also has

    make_batch(config, num_envs: int, seed: int, *, skip_nonfinite: bool, film: bool) -> EnvBatch

Array programs of jax stand on a floor above, in `dreamerax.jitted`: nothing here imports jax before one of them is made.
"""

import importlib
from collections.abc import Collection
from dataclasses import dataclass
from types import ModuleType

from dreamerax.envs.base import EnvBatch, Environment
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import near


@dataclass(frozen=True)
class Suite:
  """One row of the table."""

  prefix: str  # of its tasks' names; "" for import paths
  module: str  # in dreamerax.envs.suites, or the whole name of one elsewhere
  form: str  # of its tasks' names, for people
  draws: bool = False  # it draws its pictures at the size and quality that are asked for
  observes: bool = False  # it shows the observations that are asked for
  repeats: bool = False  # it repeats actions by itself
  mujoco: bool = False  # MuJoCo draws it, on the graphics device that is asked for
  adapts: bool = False  # its environments are of other libraries or a person's own, and show whatever they do
  starts_anywhere: bool = False  # its episodes can begin in uniformly random states
  whole: bool = False  # its environments step together in one call, in the run's own process
  traced: bool = False  # they are array programs of jax; images are shown at the size that is asked for
  image_size: int | None = None  # of images where none is asked for; None: as they are

  def make(self, config: EnvConfig, seed: int, *, film: bool = False) -> Environment:
    """
    Args:
      film: whether it is made to draw itself for people, where that has to be known before.

    Raises:
      ValueError: the task does not exist or cannot be made.
    """
    return self._load().make(config, seed, **({"film": film} if self.adapts else {}))

  def make_batch(self, config: EnvConfig, num_envs: int, seed: int, *, skip_nonfinite: bool, film: bool) -> EnvBatch:
    """Makes environments that step together.

    Raises:
      ValueError: the task does not exist or cannot be made, or a setting does not apply to it.
    """
    return self._load().make_batch(config, num_envs, seed, skip_nonfinite=skip_nonfinite, film=film)

  def matches(self, task: str) -> bool:
    """Whether a task, which need not exist, is of this suite."""
    rest = task.removeprefix(self.prefix)
    return task.startswith(self.prefix) and (":" in rest or self.prefix.endswith("/"))

  def check(self, task: str) -> None:
    """Raises ValueError: there is no such task; names the nearest."""
    self._load().check(task)

  def names(self) -> tuple[str, ...]:
    """Lists its tasks, as far as they can be listed."""
    return self._load().names()

  def _load(self) -> ModuleType:
    return importlib.import_module(self.module if "." in self.module else f"dreamerax.envs.suites.{self.module}")


SUITES = (
  Suite("dmc/", "dm_control", "dmc/<domain>_<task>", draws=True, observes=True, repeats=True, mujoco=True),
  Suite("gym/", "gymnasium", "gym/<id>", adapts=True),
  Suite("atari/", "atari", "atari/<game>", repeats=True, image_size=64),
  Suite("crafter/", "crafter", "crafter/reward"),
  Suite("minigrid/", "minigrid", "minigrid/<id>"),
  Suite("e2c/", "e2c", "e2c/<task>", observes=True, starts_anywhere=True),
  Suite("goal/", "goal", "goal/<body>", draws=True, observes=True, repeats=True, mujoco=True),
  Suite("table/", "table", "table/<task>", draws=True, observes=True, repeats=True, mujoco=True),
  Suite("tasks/", "tasks", "tasks/<body>", draws=True, observes=True, repeats=True, mujoco=True),
  Suite("metaworld/", "metaworld", "metaworld/<task>", repeats=True, mujoco=True),
  Suite("vector:", "vector", "vector:package.module:factory", adapts=True, whole=True),
  Suite("jit:", "dreamerax.jitted.suite", "jit:package.module:factory", repeats=True, whole=True, traced=True),
  Suite(
    "mjx/", "dreamerax.jitted.mjx.suite", "mjx/<domain>_<task>", observes=True, repeats=True, whole=True, traced=True
  ),
  Suite("", "custom", "package.module:factory", adapts=True),
)
_ONLY = {"rendering": "draws", "observations": "observes"}  # settings, and which suites take them
_DEVICES = "workers.gpus"
_OF_WORKERS = ("workers.count", "workers.timeout", _DEVICES)


def find(task: str) -> Suite:
  """The suite of a task, which need not exist.

  Raises:
    ValueError: no suite has such tasks; names the nearest.
  """
  for suite in SUITES:
    if suite.matches(task):
      return suite
  forms = " nor ".join(suite.form for suite in SUITES)
  known = SUITES[0].names()
  raise ValueError(f"task={task!r} is neither {forms}.{near(task, known, SUITES[0].prefix)}")


def check_applies(config: EnvConfig, said: Collection[str]) -> None:
  """Whether settings apply to the task's suite.

  Args:
    said: fields of EnvConfig, and of WorkerConfig as workers.gpus, that somebody has set, be it to their defaults.

  Raises:
    ValueError: names the setting.
  """
  suite = find(config.task)
  for name, able in _ONLY.items():
    if name in said and not getattr(suite, able):
      value, others = getattr(config, name), " or ".join(suite.form for suite in SUITES if getattr(suite, able))
      raise ValueError(
        f"{name}={value!r} is for {others}, and task={config.task!r} shows what it shows: leave --{name} out"
      )
  for name in _OF_WORKERS:
    if name in said and suite.whole:
      raise ValueError(
        f"{name} is for environments that step in worker processes, and those of task={config.task!r} step together in one "
        "call: leave it out"
      )
  if _DEVICES in said and not (suite.mujoco or suite.adapts):
    raise ValueError(f"{_DEVICES} is for what MuJoCo draws, and task={config.task!r} does without: leave it out")
