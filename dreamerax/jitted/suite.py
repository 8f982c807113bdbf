"""An array program of a user: `jit:package.module:factory`, where the factory returns an `ArrayEnv`."""

import functools
import inspect
from typing import Any

from dreamerax import own_code
from dreamerax.envs.base import EnvBatch, Environment
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.whole import Alone
from dreamerax.jitted.base import ArrayEnv
from dreamerax.jitted.batch import ArrayEnvs
from dreamerax.jitted.resized import Resized


def make(config: EnvConfig, seed: int) -> Environment:
  """One of them. Raises ValueError: there is no such factory, or it takes or returns something else."""
  envs = ArrayEnvs(_made(config.task, config.image_size), 1, seed, name=config.task, action_repeat=config.action_repeat)
  return Alone(envs, config.task, {})


def make_batch(config: EnvConfig, num_envs: int, seed: int, *, skip_nonfinite: bool, film: bool) -> EnvBatch:
  """`num_envs` of them as one array program. Errors are those of `make`."""
  return ArrayEnvs(
    _made(config.task, config.image_size),
    num_envs,
    seed,
    name=config.task,
    action_repeat=config.action_repeat,
    skip_nonfinite=skip_nonfinite,
  )


def check(task: str) -> None:
  """Raises ValueError: there is no such module or factory."""
  _find(task)


def names() -> tuple[str, ...]:
  """None: only their authors know them."""
  return ()


def _find(task: str) -> Any:
  factory = own_code.find(task, "task")
  if not callable(factory):
    raise ValueError(f"task={task!r}: what it names is no function; name one that returns a dreamerax.jitted.ArrayEnv.")
  return factory


@functools.lru_cache(maxsize=16)  # its functions are pure, and programs of the same environment are compiled once
def _made(task: str, image_size: int | None) -> ArrayEnv:
  """What the factory returns; it is told the side of images where one is asked for, or its images are resized."""
  factory, given = _find(task), {}
  if image_size is not None and "image_size" in inspect.signature(factory).parameters:
    given = {"image_size": image_size}
  try:
    env = factory(**given)
  except Exception as error:
    raise ValueError(f"task={task!r}: the factory raised {own_code.account(error)}") from error
  if not isinstance(env, ArrayEnv):
    raise ValueError(
      f"task={task!r}: the factory returned {type(env).__name__}; return a dreamerax.jitted.ArrayEnv, such as "
      "dreamerax.jitted.from_brax(env, max_steps=1000) or from_gymnax(env)"
    )
  return env if image_size is None or given else Resized(env, image_size)
