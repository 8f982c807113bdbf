"""Gymnasium's environments: `gym/<id>`, and any `gymnasium.Env` object."""

import difflib
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from dreamerax.envs.actions import BoxActions, DiscreteActions
from dreamerax.envs.base import Environment, Step
from dreamerax.types import ArraySpec, EnvSpec

PREFIX = "gym/"


def load(task: str, seed: int) -> Environment:
  """`gym/<id>` as gymnasium registers it, its own time limit included.

  Raises:
    ValueError: there is no such id (the nearest are named), or a package it needs is missing.
  """
  name = task.removeprefix(PREFIX)
  try:
    # Its own checker warns at every run about what `check_env` says once.
    env = gymnasium.make(name, disable_env_checker=True)
  except gymnasium.error.DependencyNotInstalled as error:
    raise ValueError(f"{task}: {error}") from error
  except (gymnasium.error.Error, ModuleNotFoundError) as error:
    near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(PREFIX + id_ for id_ in near)}?" if near else ""
    raise ValueError(f"{task}: gymnasium cannot make it: {error}{hint}") from error
  return GymEnv(env, name=task, seed=seed)


class GymEnv(Environment):
  """Adapts a gymnasium.Env: `terminated` is terminal, `truncated` only last.

  Observations are what the environment gives, under its own names ("image" or "vector" where it has none; names of
  nested dicts joined by "/"). A uint8 box of rank 3 is an image, and of rank 2 one with a single channel; any other
  space is flattened to a float32 vector the way gymnasium flattens it (a discrete one becomes one-hot).
  """

  def __init__(self, env: gymnasium.Env, *, name: str, seed: int):
    """
    Args:
      env: what is adapted.
      name: how errors call it.
      seed: given to the first reset that is given none; episodes after it continue from there.

    Raises:
      ValueError: actions are neither Box nor Discrete.
    """
    self._env = env
    self._name = name
    self._seed: int | None = seed
    self._actions = _actions(env.action_space, name)
    self._leaves = _leaves(env.observation_space)
    observation = {"/".join(path): _array_spec(space) for path, space in self._leaves}
    self._spec = EnvSpec(observation=observation, action=self._actions.spec)
    self._ended = True

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  def reset(self, seed: int | None = None) -> Step:
    observation, _ = self._env.reset(seed=self._seed if seed is None else seed)
    self._seed = None
    self._ended = False
    return Step(self._observe(observation), 0.0, is_first=True, is_last=False, is_terminal=False)

  def step(self, action: np.ndarray) -> Step:
    if self._ended:
      raise RuntimeError(f"{self._name}: the episode is over (or never began); call reset first.")
    native = self._actions(action, self._name)
    if isinstance(native, np.ndarray):
      native = native.astype(self._env.action_space.dtype)
    observation, reward, terminated, truncated, _ = self._env.step(native)
    self._ended = bool(terminated or truncated)
    return Step(self._observe(observation), float(reward), False, self._ended, bool(terminated))

  def close(self) -> None:
    self._env.close()

  def _observe(self, observation: Any) -> dict[str, np.ndarray]:
    result = {}
    for (path, space), (key, spec) in zip(self._leaves, self._spec.observation.items(), strict=True):
      value = observation
      if isinstance(self._env.observation_space, spaces.Dict):
        for part in path:
          value = value[part]
      if not isinstance(space, spaces.Box):
        value = spaces.flatten(space, value)
      # A copy: environments may hand out buffers that they overwrite.
      result[key] = np.array(value, spec.dtype).reshape(spec.shape)
    return result


def _leaves(space: spaces.Space) -> list[tuple[tuple[str, ...], spaces.Space]]:
  """Path and space of every observation."""
  if isinstance(space, spaces.Dict):
    return [((key, *path), leaf) for key, part in space.items() for path, leaf in _nested(part)]
  return [(("image" if _is_image(space) else "vector",), space)]


def _nested(space: spaces.Space) -> list[tuple[tuple[str, ...], spaces.Space]]:
  return _leaves(space) if isinstance(space, spaces.Dict) else [((), space)]


def _is_image(space: spaces.Space) -> bool:
  return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def _array_spec(space: spaces.Space) -> ArraySpec:
  if _is_image(space):
    return ArraySpec((*(space.shape or ()), 1)[:3], "uint8")
  return ArraySpec((spaces.flatdim(space),), "float32")


def _actions(space: spaces.Space, name: str) -> BoxActions | DiscreteActions:
  if isinstance(space, spaces.Discrete):
    return DiscreteActions(int(space.n), int(space.start))
  if isinstance(space, spaces.Box):
    return BoxActions(space.low.astype(np.float64), space.high.astype(np.float64))
  raise ValueError(
    f"{name}: actions must be a Box or Discrete space, not {space}. Wrap the environment to make it one."
  )
