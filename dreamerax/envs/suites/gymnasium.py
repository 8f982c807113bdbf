"""Gymnasium's environments: `gym/<id>`, and any `gymnasium.Env` object."""

import difflib
import os
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.faults import Breach, NoPicture
from dreamerax.envs.suites import foreign
from dreamerax.envs.suites.spaces import Spaces
from dreamerax.own_code import account, imported
from dreamerax.types import ArraySpec, EnvSpec

PREFIX = "gym/"
# What pygame, which many draw with, is told: nothing is shown, so that it looks for no display, and says nothing.
_HEADLESS = {"SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
_ARRAYS = "rgb_array"  # gymnasium's name for pictures that are returned, and not shown


def load(task: str, seed: int, *, film: bool = False, float_images: bool = False) -> Environment:
  """`gym/<id>` as gymnasium registers it, its own time limit included.

  Args:
    float_images: as `GymEnv` has it.
    film: whether it is made to draw itself for people, where it can.

  Raises:
    ValueError: there is no such module or id (the nearest are named), or a package it needs is missing.
    NotTrusted: a file names the module, and the person has not.
  """
  name = task.removeprefix(PREFIX)
  if ":" in name:
    imported(task, "task")  # gymnasium would not look in the current directory
  try:
    # Its own checker warns at every run about what `check_env` says once.
    env = (film and _drawn(name)) or gymnasium.make(name, disable_env_checker=True)
  except gymnasium.error.DependencyNotInstalled as error:
    raise ValueError(f"{task}: {error}") from error
  except (gymnasium.error.Error, ModuleNotFoundError) as error:
    near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.7)
    hint = f" Did you mean {', '.join(PREFIX + id_ for id_ in near)}?" if near else ""
    plain = f"{PREFIX}<module>:{name.rpartition(':')[2]}"
    raise ValueError(
      f"{task}: gymnasium cannot make it: {' '.join(str(error).split())}{hint} An id that another package registers needs "
      f"the module that does: {plain}, such as gym/ale_py:ALE/Pong-v5. Ids that a program registers for itself are not "
      "known to worker processes, which import modules and nothing else."
    ) from error
  except TypeError as error:
    raise ValueError(
      f"{task}: gymnasium cannot make it: {' '.join(str(error).split())}. Where it needs arguments, give them in a factory "
      "of your own (--task module:factory)."
    ) from error
  except Exception as error:
    raise ValueError(f"{task}: making it raised {account(error)}") from error
  return GymEnv(env, name=task, seed=seed, float_images=float_images)


def _drawn(name: str) -> gymnasium.Env | None:
  """The environment made to draw itself; None where it cannot be made so."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # that it does not say whether it can
      return gymnasium.make(name, disable_env_checker=True, render_mode=_ARRAYS)
  except Exception:
    return None  # the plain one says what is wrong, where it is with that too


def make(config: EnvConfig, seed: int, *, film: bool = False) -> Environment:
  """Makes what `load` does."""
  return load(config.task, seed, film=film, float_images=config.float_images)


def check(task: str) -> None:
  """Raises what `load` raises."""
  load(task, seed=0).close()


def names() -> tuple[str, ...]:
  """None: what is registered depends on what is imported."""
  return ()


class GymEnv(Environment):
  """Adapts a gymnasium.Env: `terminated` is terminal, `truncated` only last.

  Observations are what the environment gives, under its own names ("image" or "vector" where it has none; names of
  nested dicts joined by "/"). A uint8 box of rank 3 is an image, and of rank 2 one with a single channel; any other
  space is flattened to a float32 vector the way gymnasium flattens it (a discrete one becomes one-hot).

  `info["log/<name>"]` and `info["success"]` or `info["is_success"]` are logged; nothing else in `info` is looked at.
  """

  def __init__(self, env: gymnasium.Env, *, name: str, seed: int, float_images: bool = False):
    """
    Args:
      env: what is adapted.
      name: how errors call it.
      seed: given to the first reset that is given none; episodes after it continue from there.
      float_images: whether boxes of other numbers than uint8 that could be images are.

    Raises:
      ValueError: float_images is asked for and there are none, or actions are of none of the spaces Box, Discrete,
        MultiDiscrete and MultiBinary.
    """
    self._env = env
    self._name = name
    self._seed: int | None = seed
    self._spaces = Spaces(env.observation_space, env.action_space, name=name, float_images=float_images)
    self._ended = True

  @property
  def spec(self) -> EnvSpec:
    return self._spaces.spec

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    return self._spaces.declared

  def reset(self, seed: int | None = None) -> Step:
    answer = self._call("reset", seed=self._seed if seed is None else seed)
    if not isinstance(answer, tuple) or len(answer) != 2:
      raise _misshaped("reset", answer)
    observation, self._seed = answer[0], None
    self._ended = False
    return Step(self._spaces.observe(observation), 0.0, is_first=True, is_last=False, is_terminal=False)

  def step(self, action: np.ndarray) -> Step:
    if self._ended:
      raise RuntimeError(f"{self._name}: the episode is over (or never began); call reset first.")
    answer = self._call("step", self._spaces.action(action))
    if not isinstance(answer, tuple) or len(answer) != 5:
      raise _misshaped("step", answer)
    observation, reward, terminated, truncated, info = answer
    terminated, truncated = foreign.flag(terminated, "terminated"), foreign.flag(truncated, "truncated")
    self._ended = terminated or truncated
    reward = foreign.reward(reward, "step")
    return Step(self._spaces.observe(observation), reward, False, self._ended, terminated, foreign.log(info))

  def render(self) -> np.ndarray:
    if self._env.render_mode is None:
      raise NoPicture(
        f'its render_mode is None: make it with render_mode="{_ARRAYS}", or let the factory take an argument render_mode'
      )
    for name, value in _HEADLESS.items():
      os.environ.setdefault(name, value)
    try:
      picture: Any = self._env.render()
    except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
      raise NoPicture(f"its render() needs a package that is missing ({' '.join(str(error).split())})") from error
    except NotImplementedError as error:
      raise NoPicture(f'it has no render(): add one that returns pictures for render_mode="{_ARRAYS}"') from error
    return picture[-1] if isinstance(picture, list) else picture  # a list: since it was last asked

  def close(self) -> None:
    self._env.close()

  def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
    try:
      return getattr(self._env, method)(*arguments, **named)
    except (TypeError, ValueError) as error:
      # Wrappers of gymnasium unpack what they are given.
      if isinstance(error, ValueError) and "values to unpack" in str(error) and _raised_by_gymnasium(error):
        raise Breach(f"{method} gave something else than gymnasium asks for ({error})", _RETURNS[method]) from error
      if isinstance(error, TypeError) and "'seed'" in str(error):
        raise Breach("reset takes no seed", "declare reset(self, *, seed=None, options=None)") from error
      raise


_RETURNS = {
  "reset": "return observation, info",
  "step": "return observation, reward, terminated, truncated, info",
}


def _misshaped(method: str, answer: Any) -> Breach:
  gave = foreign.short(answer)
  if isinstance(answer, tuple):
    gave = f"{len(answer)} values" + (
      " (the interface of gym before 0.26)" if (method, len(answer)) == ("step", 4) else ""
    )
  return Breach(f"{method} gave {gave}", _RETURNS[method])


def _raised_by_gymnasium(error: Exception) -> bool:
  frame = traceback.extract_tb(error.__traceback__)[-1]
  return frame.filename.startswith(os.path.dirname(gymnasium.__file__))
