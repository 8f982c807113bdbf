"""A user's own environment: `package.module:factory`.

Naming a task with a colon imports the module in front of it and calls the factory behind it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import dm_env
import gymnasium

from dreamerax import own_code
from dreamerax.envs.base import Environment
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.suites.dm_env import DmEnv, LoggingDmEnv
from dreamerax.envs.suites.gymnasium import GymEnv


def load(task: str, seed: int, *, film: bool = False, float_images: bool = False) -> Environment:
  """Calls `factory(seed)`, or `factory()` where it asks for nothing, and adapts what it returns.

  The factory returns an `Environment`, a `dm_env.Environment` or a `gymnasium.Env` (seeded when it is reset). It is
  given the seed if a parameter is called `seed`, or if exactly one parameter has no default; and `render_mode`, where one
  is called so.

  Args:
    film: whether it is made to draw itself for people: render_mode is "rgb_array", else None.
    float_images: whether arrays of other numbers than uint8 that could be images are.

  Raises:
    ValueError: there is no such module or factory, or it takes or returns something else.
  """
  return adapt(_call(find(task), seed, task, film=film), seed, task, float_images=float_images)


def make(config: EnvConfig, seed: int, *, film: bool = False) -> Environment:
  """Makes what `load` does."""
  return load(config.task, seed, film=film, float_images=config.float_images)


def check(task: str) -> None:
  """Raises ValueError: there is no such module or factory."""
  find(task)


def names() -> tuple[str, ...]:
  """None: only their authors know them."""
  return ()


def find(task: str) -> Callable[..., Any]:
  """The factory, which is not called.

  Raises:
    ValueError: there is no such module or factory.
  """
  factory = own_code.find(task, "task")
  if not callable(factory):
    module_name, _, name = task.partition(":")
    raise ValueError(f"task={task!r}: the module {module_name!r} has no function {name!r}.")
  return factory


def adapt(env: Any, seed: int, name: str, *, float_images: bool = False) -> Environment:
  """`env` as an Environment, whichever of the three kinds it is; ValueError for any other."""
  if isinstance(env, Environment):
    if float_images:
      raise ValueError(
        f"float_images=True is for environments of gymnasium and dm_env, and {name} is a dreamerax.envs.Environment: let it "
        "show uint8 [height, width, channels]"
      )
    return env
  if isinstance(env, dm_env.Environment):
    return (LoggingDmEnv if LoggingDmEnv.fits(env) else DmEnv)(env, name=name, float_images=float_images)
  if isinstance(env, gymnasium.Env):
    return GymEnv(env, name=name, seed=seed, float_images=float_images)
  raise ValueError(
    f"{name}: the factory returned {type(env).__name__}; return a dreamerax.envs.Environment, a dm_env.Environment "
    "or a gymnasium.Env."
  )


def _call(factory: Callable[..., Any], seed: int, task: str, *, film: bool) -> Any:
  given, named = _arguments(factory, seed, task, film=film)
  try:
    return factory(*given, **named)
  except Exception as error:
    raise ValueError(f"task={task!r}: the factory raised {own_code.account(error)}") from error


def _arguments(
  factory: Callable[..., Any], seed: int, task: str, *, film: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
  """Returns the factory's arguments, by position and by name."""
  parameters = inspect.signature(factory).parameters
  named = {"seed": seed, "render_mode": "rgb_array" if film else None}
  named = {name: value for name, value in named.items() if name in parameters}
  if "seed" in parameters:
    return (), named
  variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  required = [p for p in parameters.values() if p.default is p.empty and p.kind not in variadic and p.name not in named]
  if len(required) > 1:
    names = ", ".join(parameter.name for parameter in required)
    raise ValueError(f"task={task!r}: the factory needs {names}; it may need one argument at most, the seed.")
  return (seed,) if required else (), named
