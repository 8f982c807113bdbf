"""Reads what gymnasium's spaces contain, of one environment or of many at once, and writes the actions that they take."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate

from dreamerax.envs.faults import Breach
from dreamerax.envs.suites import foreign
from dreamerax.envs.suites.actions import BoxActions, ChoiceActions, DiscreteActions, IntegerActions, box_actions
from dreamerax.envs.suites.float_images import FloatImage, is_convertible, none_found
from dreamerax.types import ArraySpec, EnvSpec

Path = tuple[str, ...]


class Spaces:
  """The spaces of a gymnasium.Env, or those of each environment of a VectorEnv.

  Observations have the environment's own names ("image" or "vector" where it has none; names of nested dicts joined by
  "/"). A uint8 box of rank 3 is an image, and of rank 2 one with a single channel; any other space is flattened to a
  float32 vector the way gymnasium flattens it (a discrete one becomes one-hot).
  """

  def __init__(self, observation: spaces.Space, action: spaces.Space, *, name: str, float_images: bool):
    """
    Args:
      name: how errors call the environment.
      float_images: whether boxes of other numbers than uint8 that could be images are.

    Raises:
      ValueError: float_images is asked for and there are none, or actions are of none of the spaces Box, Discrete,
        MultiDiscrete and MultiBinary.
    """
    self._name, self._space, self._action_space = name, observation, action
    self._actions = _actions(action, name)
    self._leaves = _leaves(observation, float_images=float_images)
    twice = [name for name, count in Counter("/".join(path) for path, _ in self._leaves).items() if count > 1]
    if twice:
      raise ValueError(f"{name}: two observations are called {twice[0]!r}, as names are joined by /: rename one")
    self._boxes = {"/".join(path): space for path, space in self._leaves if isinstance(space, spaces.Box)}
    self._images = {
      key: FloatImage(key, space.shape, space.low, space.high)
      for key, space in self._boxes.items()
      if float_images and is_convertible(space.shape, space.dtype)
    }
    if float_images and not self._images:
      raise none_found(name)
    shown = {"/".join(path): _array_spec(space) for path, space in self._leaves}
    shown |= {key: image.spec for key, image in self._images.items()}
    self.spec = EnvSpec(observation=shown, action=self._actions.spec)

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    """Boxes as the spaces have them."""
    return {key: ArraySpec(space.shape, str(space.dtype)) for key, space in self._boxes.items()}

  def action(self, action: np.ndarray) -> Any:
    """What one environment takes for `action` [A]; ValueError where its shape is wrong or it is not finite."""
    native = self._actions(action, self._name)
    return native.astype(self._action_space.dtype) if isinstance(native, np.ndarray) else native

  def observe(self, observation: Any) -> dict[str, np.ndarray]:
    """What one environment shows, in new arrays, as environments may hand out buffers that they overwrite.

    Raises:
      Breach: it is not what the space says.
    """
    result = {}
    for (path, space), (key, spec) in zip(self._leaves, self.spec.observation.items(), strict=True):
      flat = _flat(space, self._leaf(observation, path, key), key)
      result[key] = self._images[key](flat) if key in self._images else np.array(flat, spec.dtype).reshape(spec.shape)
    return result

  def actions(self, actions: np.ndarray) -> np.ndarray:
    """What E environments take for `actions` [E, A], as one array [E, ...]; ValueError as for one."""
    native = _repeated(self._actions, len(actions))(actions.reshape(-1), self._name)
    return native.astype(self._action_space.dtype)

  def observe_all(self, observation: Any, num_envs: int) -> dict[str, np.ndarray]:
    """What E environments show, as new arrays [E, ...]. Raises Breach as for one."""
    result = {}
    for (path, space), (key, spec) in zip(self._leaves, self.spec.observation.items(), strict=True):
      value = self._leaf(observation, path, key)
      if isinstance(space, spaces.Box) and key not in self._images:
        flat = foreign.array(value, (num_envs, *space.shape), space.dtype, key, "its space")
        result[key] = np.array(flat, spec.dtype).reshape(num_envs, *spec.shape)
        continue
      result[key] = np.empty((num_envs, *spec.shape), spec.dtype)
      for row, one in zip(result[key], _each(space, value, num_envs, key), strict=True):
        flat = _flat(space, one, key)
        row[...] = self._images[key](flat) if key in self._images else flat.reshape(spec.shape)
    return result

  def _leaf(self, observation: Any, path: Path, key: str) -> Any:
    if isinstance(self._space, spaces.Dict):
      for part in path:
        observation = _part(observation, part, key)
    return observation


def _each(space: spaces.Space, value: Any, num_envs: int, key: str) -> list[Any]:
  """What each of E environments shows of a space."""
  try:
    each = list(iterate(batch_space(space, num_envs), value))
  except Exception as error:
    problem = f"observation {key!r} is {foreign.short(value)}; its space says {num_envs} times {space}"
    raise Breach(problem, "show what the observation_space of the VectorEnv contains") from error
  if len(each) != num_envs:
    raise Breach(f"observation {key!r} has {len(each)} rows for {num_envs} environments", "show one row for each")
  return each


def _repeated(
  actions: BoxActions | IntegerActions | DiscreteActions | ChoiceActions, count: int
) -> BoxActions | IntegerActions | ChoiceActions:
  """The same actions of `count` environments, as those of a single one that takes an array [count, ...]."""

  def rows(array: np.ndarray) -> np.ndarray:
    return np.broadcast_to(array, (count, *array.shape))

  if isinstance(actions, BoxActions):
    return BoxActions(rows(actions.minimum), rows(actions.maximum))
  if isinstance(actions, IntegerActions):
    return IntegerActions(rows(actions.minimum), rows(actions.maximum), actions.dtype)
  if isinstance(actions, DiscreteActions):
    return ChoiceActions(np.full(count, actions.size), np.full(count, actions.start), "int64")
  return ChoiceActions(rows(actions.counts), rows(actions.start), actions.dtype)


def _part(value: Any, part: str, key: str) -> Any:
  try:
    return value[part]
  except (KeyError, IndexError, TypeError) as error:
    raise Breach(
      f"observation {key!r} is missing in {foreign.short(value)}", "show what observation_space names"
    ) from error


def _flat(space: spaces.Space, value: Any, key: str) -> np.ndarray:
  """Returns what is shown of one space, as a box's array or as gymnasium flattens
  it."""
  if isinstance(space, spaces.Box):
    return foreign.array(value, space.shape, space.dtype, key, "its space")
  try:
    if isinstance(space, spaces.Discrete) and not space.contains(value):
      raise ValueError(value)  # or it would be counted from the end
    return np.asarray(spaces.flatten(space, value))
  except Exception as error:
    problem = f"observation {key!r} is {foreign.short(value)}; its space says {space}"
    raise Breach(problem, "show what the space contains") from error


def _leaves(space: spaces.Space, *, float_images: bool) -> list[tuple[Path, spaces.Space]]:
  """Path and space of every observation."""
  if isinstance(space, spaces.Dict):
    return [((key, *path), leaf) for key, part in space.items() for path, leaf in _nested(part)]
  converted = float_images and isinstance(space, spaces.Box) and is_convertible(space.shape, space.dtype)
  return [(("image" if _is_image(space) or converted else "vector",), space)]


def _nested(space: spaces.Space) -> list[tuple[Path, spaces.Space]]:
  return _leaves(space, float_images=False) if isinstance(space, spaces.Dict) else [((), space)]


def _is_image(space: spaces.Space) -> bool:
  return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def _array_spec(space: spaces.Space) -> ArraySpec:
  if _is_image(space):
    return ArraySpec((*(space.shape or ()), 1)[:3], "uint8")
  return ArraySpec((spaces.flatdim(space),), "float32")


def _actions(space: spaces.Space, name: str) -> BoxActions | IntegerActions | DiscreteActions | ChoiceActions:
  if isinstance(space, spaces.Discrete):
    return DiscreteActions(int(space.n), int(space.start))
  if isinstance(space, spaces.MultiDiscrete):
    return ChoiceActions(space.nvec, space.start, space.dtype.name)
  if isinstance(space, spaces.MultiBinary):
    return ChoiceActions(np.full(space.shape, 2), np.zeros(space.shape, int), space.dtype.name)
  if isinstance(space, spaces.Box):
    return box_actions(space.low, space.high, space.dtype, name)  # type: ignore[arg-type]
  raise ValueError(
    f"{name}: actions must be a Box, Discrete, MultiDiscrete or MultiBinary space, not {space}. Wrap the environment to "
    "make it one."
  )
