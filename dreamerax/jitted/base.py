"""Defines what an environment is that jax can trace, and checks one without running it."""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dreamerax.envs import violations
from dreamerax.types import ActionSpec, Array, ArrayDict, ArraySpec, EnvSpec

State = Any  # pytree of arrays, always of the same shapes


class Outcome(NamedTuple):
  """What a step led to, beside the state."""

  reward: Array  # []
  terminal: Array  # [] bool: nothing more can be earned. The time limit is `ArrayEnv.max_steps`
  log: Mapping[str, Array] | None = None  # [] each, numbers for people; the same names at every step


class ArrayEnv(abc.ABC):
  """One environment as pure functions, which are traced and run for a batch by `jax.vmap`.

  A state holds all that the environment knows, keys of its randomness included: what is saved in a checkpoint is the
  state, and equal states go on equally.
  """

  max_steps: int | None = None
  """Simulator steps of an episode, after which it ends by time limit; None: it has none."""

  extra_bytes: int = 0
  """Of memory for each environment, beside states and observations: buffers of a simulator that jax does not see."""

  @property
  @abc.abstractmethod
  def action(self) -> ActionSpec:
    """The actions that `step` takes: in [-1, 1], or one-hot."""

  @abc.abstractmethod
  def reset(self, key: jax.Array) -> State:
    """Begins an episode; all that is random in it follows from `key`."""

  @abc.abstractmethod
  def step(self, state: State, action: jax.Array) -> tuple[State, Outcome]:
    """Takes one simulator step with `action` [A]. It is repeated, and episodes are ended and begun, by the caller."""

  @abc.abstractmethod
  def observe(self, state: State) -> ArrayDict:
    """Shows the state: arrays by name, uint8 [height, width, channels] or float32 [size].

    It is called once for each step of the agent, however often that repeats its action: pictures are drawn here.
    """


def spec_of(env: ArrayEnv, name: str) -> EnvSpec:
  """Finds out what an environment shows by tracing it; nothing is computed.

  Args:
    name: how errors call it.

  Raises:
    ValueError: its functions do not fit each other or `ArrayEnv`: which, and how it is mended.
  """
  action = env.action
  if not isinstance(action, ActionSpec):
    raise ValueError(f"{name}: action is {type(action).__name__}: return a dreamerax.types.ActionSpec")
  state = _traced(f"{name}: reset", env.reset, jax.random.key(0))
  stepped = _traced(f"{name}: step", env.step, state, jax.ShapeDtypeStruct((action.size,), jnp.float32))
  if not isinstance(stepped, tuple) or len(stepped) != 2 or not isinstance(stepped[1], Outcome):
    raise ValueError(f"{name}: step returned {type(stepped).__name__}: return state, dreamerax.jitted.Outcome(...)")
  _check_same(name, state, stepped[0])
  _check_outcome(name, stepped[1])
  shown = _traced(f"{name}: observe", env.observe, state)
  if not isinstance(shown, Mapping):
    raise ValueError(f"{name}: observe returned {type(shown).__name__}: return arrays by name")
  spec = EnvSpec({key: ArraySpec(tuple(value.shape), str(value.dtype)) for key, value in shown.items()}, action)
  for violation in violations.of_spec(spec):
    raise ValueError(f"{name}: {violation}")
  return spec


def _traced(what: str, function: Any, *arguments: Any) -> Any:
  try:
    return jax.eval_shape(function, *arguments)
  except Exception as error:
    said = next((line for line in str(error).splitlines() if line.strip()), "")
    raise ValueError(f"{what} cannot be traced by jax: {type(error).__name__}: {said}") from error


def _check_same(name: str, before: State, after: State) -> None:
  """Whether a state has the same arrays before and after a step."""
  if jax.tree.structure(before) != jax.tree.structure(after):
    raise ValueError(
      f"{name}: step returned a state of another structure than reset: return the same containers and names"
    )
  pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
  for (path, one), other in pairs:
    if (one.shape, one.dtype) != (other.shape, other.dtype):
      where = jax.tree_util.keystr(path) or "the state"
      raise ValueError(
        f"{name}: reset has {one.dtype} {list(one.shape)} at {where}, and step {other.dtype} {list(other.shape)}: "
        "convert it with astype and reshape"
      )


def _check_outcome(name: str, outcome: Outcome) -> None:
  arrays = {"reward": outcome.reward, "terminal": outcome.terminal}
  arrays |= {f"log[{key!r}]": value for key, value in (outcome.log or {}).items()}
  for key, value in arrays.items():
    if value.shape != ():
      raise ValueError(f"{name}: step gave {key} of shape {list(value.shape)}: it is one number, of shape []")
  if outcome.terminal.dtype != bool:
    raise ValueError(f"{name}: step gave terminal as {outcome.terminal.dtype}: it is a bool, such as done > 0")
