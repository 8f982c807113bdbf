"""Any `dm_env.Environment` as an Environment."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np
from dm_env import specs as dm_specs

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.faults import Breach, NoPicture
from dreamerax.envs.suites import foreign
from dreamerax.envs.suites.actions import BoxActions, ChoiceActions, DiscreteActions, IntegerActions, box_actions
from dreamerax.envs.suites.float_images import FloatImage, is_convertible, none_found
from dreamerax.types import TRUE, ArraySpec, EnvSpec

Camera = Callable[[], np.ndarray]


class DmEnv(Environment):
  """Adapts a dm_env.Environment: discount 0 at the last step is terminal, any other discount a time limit.

  Arrays of rank 3 and dtype uint8 stay images; everything else becomes a float32 vector. Observations `log/<name>` are logged
  and not shown. A list of DiscreteArrays makes an action of several choices, which `step` gets as an array of their numbers.
  A seed goes to the RandomState
  that a dm_control suite task (`env.task.random`) or a composer environment (`env.random_state`) draws from; an
  environment with neither is just reset, and repeats an episode only if nothing in it is random.
  """

  def __init__(
    self,
    env: dm_env.Environment,
    *,
    name: str,
    observations: tuple[str, ...] | None = None,
    cameras: Mapping[str, tuple[ArraySpec, Camera]] | None = None,
    action_repeat: int = 1,
    float_images: bool = False,
  ):
    """
    Args:
      env: what is adapted.
      name: how errors call it.
      observations: which observations to show, of the environment's own and of `cameras`, or `true/` before a name for one
        that is hidden; None: the environment's own.
      cameras: further observations by name, each asked only at steps that are returned: a frame is dear.
      action_repeat: how often `env` takes each action, rewards summed; the episode's end cuts the last one short.
      float_images: whether arrays of other numbers than uint8 that could be images are.

    Raises:
      ValueError: an observation by that name does not exist, float_images is asked for and there are none, or an action or
        observation has no spec here.
    """
    self._env = env
    self._name = name
    self._repeat = action_repeat
    self._actions = _actions(env.action_spec(), name)
    own: Any = env.observation_spec()
    if not isinstance(own, Mapping):
      image = _is_image(own) or (float_images and is_convertible(own.shape, own.dtype))
      own = {"image" if image else "vector": own}
      self._as_dict = lambda observation: {next(iter(own)): observation}
    else:
      self._as_dict = lambda observation: observation
    cameras = cameras or {}
    specs = {key: _array_spec(spec) for key, spec in own.items()}
    specs |= {key: spec for key, (spec, _) in cameras.items()}
    self._images = {
      key: FloatImage(key, tuple(spec.shape), getattr(spec, "minimum", np.inf), getattr(spec, "maximum", np.inf))
      for key, spec in own.items()
      if float_images and not key.startswith(foreign.LOG) and is_convertible(spec.shape, spec.dtype)
    }
    if float_images and not self._images:
      raise none_found(name)
    specs |= {key: image.spec for key, image in self._images.items()}
    names = tuple(key for key in own if not key.startswith(foreign.LOG)) if observations is None else observations
    self._sources = {key: key if key in specs else key.removeprefix(TRUE) for key in names}
    for source in self._sources.values():
      if source not in specs:
        known = ", ".join(each for each in specs if not each.startswith(foreign.LOG))
        raise ValueError(f"{name} has no observation {source!r}: it has {known}.")
    self._own: Mapping[str, Any] = own
    self._logs = [key for key in own if key.startswith(foreign.LOG)]
    shown = {key: specs[source] for key, source in self._sources.items()}
    self._spec = EnvSpec(observation=shown, action=self._actions.spec)
    self._eye = next((camera for _, camera in cameras.values()), None)
    self._cameras = {key: cameras[source][1] for key, source in self._sources.items() if source in cameras}
    self._ended = True

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    own = {key: self._own[source] for key, source in self._sources.items() if source in self._own}
    return {key: ArraySpec(tuple(each.shape), str(each.dtype)) for key, each in own.items()}

  def reset(self, seed: int | None = None) -> Step:
    return self._show(self._begin(seed), 0.0)

  def step(self, action: np.ndarray) -> Step:
    return self._show(*self._advance(action))

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    timestep, reward = self._begin(seed), 0.0
    for action in actions:
      timestep, reward = self._advance(action)
    return self._show(timestep, reward)  # the only one that is drawn

  def render(self) -> np.ndarray:
    """Its first camera's picture, whether that is an observation or not; else its own render(), or dm_control's."""
    own: Any = self._env
    drawn = self._eye or getattr(own, "render", None) or getattr(getattr(own, "physics", None), "render", None)
    if drawn is None:
      raise NoPicture("it has neither render() nor physics: add a render() that returns uint8 [height, width, 3]")
    return drawn()

  def close(self) -> None:
    """Lets go of its cameras too: the last of them frees its rendering context, which only the thread that drew can do."""
    self._env.close()
    self._cameras, self._eye = {}, None

  def _begin(self, seed: int | None) -> dm_env.TimeStep:
    if seed is not None:
      for random in (
        getattr(getattr(self._env, "task", None), "random", None),
        getattr(self._env, "random_state", None),
      ):
        if isinstance(random, np.random.RandomState):
          random.seed(seed)
    timestep = _timestep(self._env.reset(), "reset")
    self._ended = False
    return timestep

  def _advance(self, action: np.ndarray) -> tuple[dm_env.TimeStep, float]:
    """Takes `action` as often as it is repeated; what that led to, and its reward."""
    if self._ended:
      raise RuntimeError(f"{self._name}: the episode is over (or never began); call reset first.")
    native = self._actions(action, self._name)
    reward = 0.0
    timestep = _timestep(self._env.step(native), "step")
    reward += _reward(timestep)
    for _ in range(self._repeat - 1):
      if timestep.last():
        break
      timestep = _timestep(self._env.step(native), "step")
      reward += _reward(timestep)
    self._ended = timestep.last()
    return timestep, reward

  def _show(self, timestep: dm_env.TimeStep, reward: float) -> Step:
    is_terminal = timestep.last() and timestep.discount == 0
    observation = self._observe(timestep)
    return Step(observation, reward, timestep.first(), timestep.last(), bool(is_terminal), self._logged(timestep))

  def _logged(self, timestep: dm_env.TimeStep) -> dict[str, float]:
    if not self._logs:
      return {}
    logged = foreign.log({key: value for key, value in timestep.observation.items() if key.startswith(foreign.LOG)})
    return {name: number for name, number in logged.items() if math.isfinite(number)}

  def _observe(self, timestep: dm_env.TimeStep) -> dict[str, np.ndarray]:
    own = self._as_dict(timestep.observation)
    if not isinstance(own, Mapping):
      raise Breach(f"the observation is {foreign.short(own)}", f"show a dict of {', '.join(self._own)}")
    observation = {}
    for key, spec in self._spec.observation.items():
      if key in self._cameras:
        began = time.perf_counter()
        observation[key] = self._cameras[key]()
        self.rendering_seconds += time.perf_counter() - began
      else:
        source = self._sources[key]
        if source not in own:
          raise Breach(f"observation {source!r} is missing among {', '.join(own)}", "show what observation_spec names")
        given = foreign.array(own[source], tuple(self._own[source].shape), self._own[source].dtype, source, "its spec")
        if source in self._images:
          observation[key] = self._images[source](given)
          continue
        # A copy: environments may hand out buffers that they overwrite.
        observation[key] = np.array(given, spec.dtype).reshape(spec.shape)
    return observation


class LoggingDmEnv(DmEnv):
  """One with observations `log/<name>`: a replay takes every step, as each counts for the episode's log."""

  replay = Environment.replay

  @staticmethod
  def fits(env: dm_env.Environment) -> bool:
    """Whether the environment has such observations."""
    spec: Any = env.observation_spec()
    return isinstance(spec, Mapping) and any(key.startswith(foreign.LOG) for key in spec)


def _timestep(value: Any, method: str) -> dm_env.TimeStep:
  if not isinstance(value, dm_env.TimeStep):
    raise Breach(f"{method} gave {foreign.short(value)}", "return a dm_env.TimeStep")
  return value


def _reward(timestep: dm_env.TimeStep) -> float:
  return 0.0 if timestep.reward is None else foreign.reward(timestep.reward, "step")


def _is_image(spec: Any) -> bool:
  return spec.dtype == np.uint8 and len(spec.shape) == 3


def _array_spec(spec: Any) -> ArraySpec:
  if _is_image(spec):
    return ArraySpec(tuple(spec.shape), "uint8")
  return ArraySpec((int(np.prod(spec.shape, dtype=np.int64)),), "float32")


def _actions(spec: Any, name: str) -> BoxActions | IntegerActions | DiscreteActions | ChoiceActions:
  if isinstance(spec, list | tuple) and spec and all(isinstance(each, dm_specs.DiscreteArray) for each in spec):
    counts = np.array([each.num_values for each in spec])
    return ChoiceActions(counts, np.zeros_like(counts), spec[0].dtype.name)
  if isinstance(spec, dm_specs.DiscreteArray):
    return DiscreteActions(spec.num_values)
  if isinstance(spec, dm_specs.BoundedArray):
    minimum, maximum = (np.broadcast_to(bound, spec.shape) for bound in (spec.minimum, spec.maximum))
    return box_actions(minimum, maximum, np.dtype(spec.dtype), name)
  raise ValueError(
    f"{name}: the action spec {spec} is neither a BoundedArray, nor a DiscreteArray, nor a list of DiscreteArrays."
  )
