"""Lists what may be wrong with a spec, a step or a reset, and how each is mended."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.suites.foreign import short
from dreamerax.types import PIXELS, ArraySpec, EnvSpec, Transition

RESERVED = Transition._fields
NUMBERS = (float, int, np.floating, np.integer, np.bool_)  # what a reward may be
BOOLS = (bool, np.bool_)  # what a flag may be
_MARKS = 4  # numbers of a marked pixel and its goal
_LARGEST = float(np.finfo(np.float32).max)  # rewards are kept as float32


class Violation(NamedTuple):
  """One thing that an environment does and must not."""

  problem: str
  fix: str
  fatal: bool = True  # False: training works all the same
  cause: Exception | None = None  # where the environment itself has raised
  numbers: bool = False  # all that is wrong is that a number is not finite

  def __str__(self) -> str:
    return f"{self.problem}: {self.fix}."


def of_spec(spec: Any) -> Iterator[Violation]:
  """Lists what is wrong with a spec."""
  if not isinstance(spec, EnvSpec):
    yield Violation(
      f"spec is {type(spec).__name__}, not an EnvSpec", "return dreamerax.types.EnvSpec(observation, action)"
    )
    return
  if not spec.observation:
    yield Violation("spec.observation is empty", "name at least one array that the environment shows")
  elif not spec.visible:
    found = f"spec.observation has hidden observations only ({', '.join(spec.observation)})"
    yield Violation(
      found, "name at least one array that does not begin with goal/ or event/: the world model sees that"
    )
  for key, array in spec.observation.items():
    where = f"spec.observation[{key!r}]"
    if key in RESERVED:
      kept = f"a name kept for transitions ({', '.join(RESERVED)})"
      yield Violation(f"spec.observation has the key {key!r}, {kept}", f"call {key!r} something else")
    if not array.is_image and (array.dtype != "float32" or len(array.shape) != 1):
      fix = "use uint8 [height, width, channels] for an image or float32 [size] for a vector"
      yield Violation(f"{where} is {array.dtype} {list(array.shape)}", fix)
    elif key == PIXELS and array.shape != (_MARKS,):
      fix = "give row and column of the pixel and of its goal, as shares of the image's sides"
      yield Violation(f"{where} is {array.dtype} {list(array.shape)}, not float32 [{_MARKS}]", fix)
    elif min(array.shape) < 1:
      yield Violation(f"{where} has the shape {list(array.shape)}, which holds nothing", f"leave {key!r} out")
  least = 2 if spec.action.discrete else 1
  if spec.action.size < least:
    yield Violation(f"spec.action.size={spec.action.size}", f"it must be at least {least}")


def of_reset(env: Environment) -> Iterator[Violation]:
  """Whether reset can be called with a seed and without."""
  for arguments in ((), (0,)):
    try:
      inspect.signature(env.reset).bind(*arguments)
    except TypeError as error:
      yield Violation(
        f"reset cannot be called {'with a seed' if arguments else 'without a seed'} ({error})",
        "declare it as `def reset(self, seed: int | None = None) -> Step`",
      )


def of_step(step: Any, spec: EnvSpec, where: str, *, first: bool) -> Iterator[Violation]:
  """Lists what is wrong with what `reset` or `step` returned; `where` says where.
  first: whether it begins an episode."""
  if not isinstance(step, Step):
    yield Violation(f"{where}: it returned {type(step).__name__}, not a Step", "return dreamerax.envs.Step(...)")
    return
  shown = step.observation
  if not isinstance(shown, Mapping):
    yield Violation(
      f"{where}: the observation is {type(shown).__name__}, not a dict",
      "return arrays by the names of spec.observation",
    )
    return
  if set(shown) != set(spec.observation):
    yield Violation(
      f"{where}: the observation has the keys {_names(shown)}, spec {_names(spec.observation)}",
      "show exactly what spec.observation names, at every step",
    )
  for key, array in spec.observation.items():
    if key in shown:
      yield from _of_array(shown[key], array, f"{where}: observation {key!r}", key)
  if first and not marks_within(shown):
    yield Violation(
      f"{where}: observation {PIXELS!r} is {shown[PIXELS].tolist()}, outside the image",
      "give rows and columns as shares of the image's sides, from 0 to below 1",
    )
  yield from _of_reward(step.reward, where)
  yield from _of_flags(step, where, first)
  if not is_log(step.log):
    yield Violation(f"{where}: log is {short(step.log)}", "give a dict of names and numbers: {'speed': float(speed)}")


def marks_within(shown: Mapping[str, Any]) -> bool:
  """Whether a pixel that an observation marks, and its goal, are places of the image; True where none is marked."""
  marks = shown.get(PIXELS)
  return not isinstance(marks, np.ndarray) or bool(((marks >= 0) & (marks < 1)).all())


def _names(arrays: Mapping[Any, Any]) -> list[str]:
  return sorted(map(str, arrays))


def _of_reward(reward: Any, where: str) -> Iterator[Violation]:
  if not isinstance(reward, NUMBERS):
    yield Violation(f"{where}: the reward is {short(reward)}, not a finite number", "return float(reward)")
  elif not is_finite(reward):
    fix = "return a finite number as the reward, and never nan or inf"
    yield Violation(f"{where}: the reward is {short(reward)}, not a finite number", fix, numbers=True)


def is_readable(step: Any) -> bool:
  """Whether names, numbers and flags can be told from what an environment answered."""
  return isinstance(step, Step) and isinstance(step.observation, Mapping) and isinstance(step.reward, NUMBERS)


def is_log(log: Any) -> bool:
  """Whether it is names and numbers."""
  return isinstance(log, Mapping) and all(
    isinstance(k, str) and isinstance(v, (bool, *NUMBERS)) for k, v in log.items()
  )


def is_finite(reward: Any) -> bool:
  """Whether one of NUMBERS is finite, as float32 too."""
  try:
    return abs(float(reward)) <= _LARGEST
  except OverflowError:  # an integer of hundreds of digits
    return False


def _of_flags(step: Step, where: str, first: bool) -> Iterator[Violation]:
  unclear = [name for name in ("is_first", "is_last", "is_terminal") if not isinstance(getattr(step, name), BOOLS)]
  for name in unclear:
    yield Violation(f"{where}: {name} is {short(getattr(step, name))}, not a bool", f"return bool({name})")
  if unclear:
    return
  if step.is_first != first:
    yield Violation(f"{where}: is_first is {step.is_first}", "it marks what reset returns, and nothing else")
  if first and isinstance(step.reward, NUMBERS) and step.reward != 0:
    yield Violation(f"{where}: the reward is {step.reward}; nothing was done yet", "return 0.0 from reset")
  if first and step.is_last:
    yield Violation(f"{where}: is_last is True; an episode has at least one step", "return False from reset")
  if step.is_terminal and not step.is_last:
    yield Violation(
      f"{where}: is_terminal without is_last",
      "a terminal step ends the episode: set both, or is_last alone where only the time is up",
    )


def _of_array(value: Any, spec: ArraySpec, what: str, key: str) -> Iterator[Violation]:
  if not isinstance(value, np.ndarray):
    yield Violation(f"{what} is {type(value).__name__}, not a numpy array", f"return np.array({key}, {spec.dtype!r})")
  elif value.dtype != spec.dtype or value.shape != spec.shape:
    yield Violation(
      f"{what} is {value.dtype} {list(value.shape)}; its spec says {spec.dtype} {list(spec.shape)}",
      f"convert {key!r} with astype and reshape, or change its ArraySpec",
    )
  elif not np.isfinite(value).all():
    place = tuple(np.argwhere(~np.isfinite(value))[0].tolist())
    yield Violation(
      f"{what} is {value[place]} at {list(place)}, not a finite number",
      f"clip {key!r}, or leave out what may be nan or inf",
      numbers=True,
    )
