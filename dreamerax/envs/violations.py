"""What may be wrong with a spec, a step or a reset, and how each is mended."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.types import ArraySpec, EnvSpec, Transition

RESERVED = Transition._fields


class Violation(NamedTuple):
  """One thing that an environment does and must not."""

  problem: str
  fix: str
  fatal: bool = True  # False: training works all the same
  cause: Exception | None = None  # where the environment itself has raised

  def __str__(self) -> str:
    return f"{self.problem}: {self.fix}."


def of_spec(spec: Any) -> Iterator[Violation]:
  """What is wrong with a spec."""
  if not isinstance(spec, EnvSpec):
    yield Violation(
      f"spec is {type(spec).__name__}, not an EnvSpec", "return dreamerax.types.EnvSpec(observation, action)"
    )
    return
  if not spec.observation:
    yield Violation("spec.observation is empty", "name at least one array that the environment shows")
  for key, array in spec.observation.items():
    where = f"spec.observation[{key!r}]"
    if key in RESERVED:
      kept = f"a name kept for transitions ({', '.join(RESERVED)})"
      yield Violation(f"spec.observation has the key {key!r}, {kept}", f"call {key!r} something else")
    if not array.is_image and (array.dtype != "float32" or len(array.shape) != 1):
      fix = "use uint8 [height, width, channels] for an image or float32 [size] for a vector"
      yield Violation(f"{where} is {array.dtype} {list(array.shape)}", fix)
    elif 0 in array.shape:
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


def of_step(step: Step, spec: EnvSpec, where: str) -> Iterator[Violation]:
  """What is wrong with what `reset` or `step` returned; `where` says which of them."""
  if set(step.observation) != set(spec.observation):
    yield Violation(
      f"{where}: the observation has the keys {sorted(step.observation)}, spec {sorted(spec.observation)}",
      "show exactly what spec.observation names, at every step",
    )
  for key, array in spec.observation.items():
    if key in step.observation:
      yield from _of_array(step.observation[key], array, f"{where}: observation {key!r}", key)
  if not np.isscalar(step.reward) or not np.isfinite(step.reward):  # type: ignore[arg-type]
    yield Violation(
      f"{where}: the reward is {step.reward!r}, not a finite number", "return float(reward), and never nan or inf"
    )
  yield from _of_flags(step, where)


def _of_flags(step: Step, where: str) -> Iterator[Violation]:
  unclear = [name for name in ("is_first", "is_last", "is_terminal") if not _is_bool(getattr(step, name))]
  for name in unclear:
    yield Violation(f"{where}: {name} is {getattr(step, name)!r}, not a bool", f"return bool({name})")
  if unclear:
    return
  is_reset = where == "reset"
  if step.is_first != is_reset:
    yield Violation(f"{where}: is_first is {step.is_first}", "it marks what reset returns, and nothing else")
  if is_reset and step.reward != 0:
    yield Violation(f"reset: the reward is {step.reward}; nothing was done yet", "return 0.0 from reset")
  if is_reset and step.is_last:
    yield Violation("reset: is_last is True; an episode has at least one step", "return False from reset")
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
    yield Violation(f"{what} holds values that are not finite", f"clip {key!r}, or leave out what may be nan or inf")


def _is_bool(value: Any) -> bool:
  return isinstance(value, bool | np.bool_)
