"""Makes environments by the names of their tasks, one at a time or many at once, or examines them."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial

from dreamerax.envs import apart
from dreamerax.envs.base import EnvBatch, Environment
from dreamerax.envs.config import EnvConfig, WorkerConfig
from dreamerax.envs.contract import Checked
from dreamerax.envs.episode_log import Logged
from dreamerax.envs.faults import Breach
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.pictures import shown_as
from dreamerax.envs.suites import registry, rendering
from dreamerax.envs.vector import SerialEnvs
from dreamerax.envs.workers.process import WorkerProcess, WorkerSetup
from dreamerax.envs.workers.worker_envs import WorkerEnvs
from dreamerax.envs.workers.workers import Workers
from dreamerax.envs.wrappers import ActionRepeat, OneCondition
from dreamerax.own_code import check_named
from dreamerax.types import EnvSpec

# Workers are as many as cores; further threads in each would only stand in each other's way.
_ONE_THREAD = {"LP_NUM_THREADS": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def make(config: EnvConfig, seed: int, *, checked: bool = True, film: bool = False) -> Environment:
  """One environment. `seed` lies in [0, 2**32).

  Args:
    checked: whether each of its answers is held against its spec: see `Checked`.
    film: whether it is made to draw itself for people, by `render`.

  Raises:
    ValueError: the task does not exist (the nearest names are given) or cannot be made.
    NotTrusted: it imports code, and comes from a file.
    RuntimeError: a dmc task, and no rendering backend works here.
  """
  check_named(config.task)
  if not 0 <= seed < 2**32:
    raise ValueError(f"seed={seed}: it must lie in [0, 2**32).")
  suite = registry.find(config.task)
  _check_settings(config, suite)
  if config.conditions:
    seed %= config.conditions
  env = suite.make(config, seed, film=film)
  own_replay = type(env).replay is not Environment.replay
  if checked:
    try:
      env = Checked(env)
    except Breach as breach:
      raise ValueError(f"task={config.task!r}: {breach}") from breach
    env = Logged(env, own_replay=own_replay)
  if config.action_repeat > 1 and not suite.repeats:
    env = ActionRepeat(env, config.action_repeat)
  if suite.traced:
    return env
  env = shown_as(env, config, None if suite.draws else config.image_size or suite.image_size)
  return OneCondition(env, seed, config.conditions) if config.conditions else env


def _check_settings(config: EnvConfig, suite: registry.Suite) -> None:
  """Raises ValueError: a setting does not apply to the suite's tasks."""
  if config.float_images and not suite.adapts:
    raise ValueError(f"float_images=True: task={config.task!r} shows uint8 images already; leave it out.")
  if config.channels_first and not suite.adapts:
    raise ValueError(
      f"channels_first=True: task={config.task!r} shows images as [height, width, channels] already; leave it out."
    )
  if config.grey and suite.traced:
    raise ValueError(f"grey=True: task={config.task!r} draws by itself: let it show images of one channel.")
  if config.exploring_starts and not suite.starts_anywhere:
    raise ValueError(
      f"exploring_starts=True: episodes of task={config.task!r} begin where the task says; give --no-exploring-starts."
    )
  if config.conditions and suite.whole:
    raise ValueError(
      f"conditions={config.conditions}: environments of task={config.task!r} begin their episodes together, with one seed; "
      "give --conditions 0"
    )
  if config.action_repeat > 1 and suite.whole and not suite.repeats:
    raise ValueError(
      f"action_repeat={config.action_repeat}: environments of task={config.task!r} step together, and those that have ended "
      "would go on while the others repeat an action: repeat it inside them, and give --action-repeat 1"
    )


def check_task(task: str) -> None:
  """Whether there is such a task; quick, and works where nothing can be drawn.

  Raises:
    ValueError: the task does not exist; the nearest names are given. NotTrusted: it imports code, and comes from a file.
  """
  check_named(task)
  registry.find(task).check(task)


def task_names() -> tuple[str, ...]:
  """Every task of the DeepMind Control Suite: `dmc/walker_walk`."""
  return registry.SUITES[0].names()


def look_at(config: EnvConfig) -> EnvSpec:
  """Returns what an environment shows and takes. One that is not ours is made, and
  checked as `check_env` does, in another process; an array program is traced in this one.

  Raises:
    what `make` raises; ValueError: what is wrong with it.
  """
  check_named(config.task)
  suite = registry.find(config.task)
  if suite.draws or suite.traced:
    with closing(make(config, seed=0)) as env:
      return env.spec
  return apart.look(asdict(config), _ONE_THREAD)


def examine(config: EnvConfig, *, steps: int, seed: int) -> apart.Report:
  """Everything that is wrong with an environment, and what it is, found out in another process. Arguments as `check_env`.

  Raises:
    what `make` raises; ValueError: it has ended its process, or hangs.
  """
  check_named(config.task)
  registry.find(config.task)
  return apart.examine(asdict(config), steps, seed, _ONE_THREAD)


def make_batch(
  config: EnvConfig,
  num_envs: int,
  seed: int,
  workers: WorkerConfig | None = None,
  *,
  spec: EnvSpec | None = None,
  skip_nonfinite: bool = False,
  film: bool = False,
) -> EnvBatch:
  """`num_envs` environments with seeds of their own, derived from `seed`; where they step changes nothing that they show.

  Each is made with its seed, and each of its episodes begins with one that follows from it and the episode's number.
  Those of a suite that steps them together are made together in this process, with one seed. With `conditions`, episodes
  begin as those of the first few seeds, whatever `seed` is.

  Any environment that is not ours is first checked: see `look_at`.

  Args:
    workers: processes to step them in, where they do not step together; None steps them in this one.
    spec: of the environments, where it is known; worker processes then make theirs while the caller does something else.
    skip_nonfinite: end an episode that shows a number that is not finite, and go on; otherwise an EnvironmentFault says it.
    film: whether its environments are made to draw themselves for people where they show no images, by `EnvBatch.render`.

  Raises:
    what `make` raises; ValueError: a worker cannot make its environments (where `spec` is given, the first reset tells).
  """
  check_named(config.task)  # before a worker process gets it as plain text
  suite = registry.find(config.task)
  if not suite.draws:
    shown = look_at(config).visible.values()
    film = film and not any(array.is_image for array in shown)
  if suite.whole:
    _check_settings(config, suite)
    (first,) = derive_seeds(seed, 1)
    return suite.make_batch(config, num_envs, first, skip_nonfinite=skip_nonfinite, film=film)
  seeds = [i % config.conditions for i in range(num_envs)] if config.conditions else derive_seeds(seed, num_envs)
  processes = workers.processes(num_envs) if workers else 0
  if not workers or not processes:
    again = partial(make, config, film=film)
    return SerialEnvs([again(seed) for seed in seeds], seeds, make=again, skip_nonfinite=skip_nonfinite)
  start = partial(
    _start_worker,
    config,
    workers,
    num_envs,
    skip_nonfinite,
    film,
    rendering.choose() if suite.draws else None,
  )
  return WorkerEnvs(Workers(start, seeds, workers=processes, timeout=workers.timeout, spec=spec))


def _start_worker(
  config: EnvConfig,
  workers: WorkerConfig,
  num_envs: int,
  skip_nonfinite: bool,
  film: bool,
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
    WorkerSetup(asdict(config), tuple(rows), tuple(seeds), num_envs, skip_nonfinite, film, backend), memory, environment
  )
