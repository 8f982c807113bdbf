"""The arrays that cross package borders: specs, transitions, batches.

Axis letters, used in every shape comment:
T time, B batch, N candidates, H horizon, A action, E environments, K updates, F features.

One alignment holds everywhere: `action[t]` is the action that led to `observation[t]`, `reward[t]` arrives together with
`observation[t]`, and where `is_first[t]` holds both are zero.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy.ndarray on the host, jax.Array on devices and while tracing.
ArrayDict = Mapping[str, Array]


@dataclass(frozen=True)
class ArraySpec:
  """Shape and dtype of one array without its leading axes ([E], or [B, T])."""

  shape: tuple[int, ...]
  dtype: str = "float32"

  @property
  def is_image(self) -> bool:
    """Whether this is a picture: uint8 of rank 3, [height, width, channels]."""
    return self.dtype == "uint8" and len(self.shape) == 3

  @property
  def nbytes(self) -> int:
    return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class ActionSpec:
  """The actions of a policy: a vector in [-1, 1]^size, or (discrete) one-hot vectors of
  `size` entries in all. Always float32.

  Discrete actions make one choice in each of `groups`, whose one-hot vectors are concatenated: (3, 2) chooses one of three
  and one of two. Without `groups`, there is one group of all entries.

  Raises:
    ValueError: the groups do not add up to `size`, or the actions are not discrete.
  """

  size: int
  discrete: bool = False
  groups: tuple[int, ...] = ()  # choices in each group; () where actions are not discrete

  def __post_init__(self):
    groups = tuple(map(operator.index, self.groups)) or ((self.size,) if self.discrete else ())
    object.__setattr__(self, "groups", groups)
    if groups and not self.discrete:
      raise ValueError(f"groups={groups} are of discrete actions: add discrete=True, or leave them out")
    if self.discrete and (sum(groups) != self.size or (len(groups) > 1 and min(groups) < 1)):
      raise ValueError(f"groups={groups} must be numbers of at least 1 that add up to size={self.size}")

  def split(self, action: Array) -> list[Array]:
    """[..., A] -> the entries [..., n] of each group of n choices."""
    ends = np.cumsum(self.groups)
    return [action[..., end - count : end] for end, count in zip(ends, self.groups, strict=True)]

  def is_one_hot(self, action: np.ndarray) -> np.ndarray:
    """[..., A] -> bool [...]: whether each group has a one and else zeros."""
    valid = [((part == 1).sum(-1) == 1) & ((part != 0).sum(-1) == 1) for part in self.split(action)]
    return np.logical_and.reduce(valid)


GOAL, EVENT, TRUE = "goal/", "event/", "true/"  # begin the names of hidden observations
PIXELS = (
  GOAL + "pixels"
)  # row and column where a marked pixel is at first, and those of its goal, as shares of the image's sides
CONDITION = TRUE + "condition"  # which of several first states the episode begins in, one-hot
TASK = EVENT + "task"  # of several tasks, the one that is under way, one-hot
TASK_REWARDS = EVENT + "rewards"  # what each of them would have paid


@dataclass(frozen=True)
class EnvSpec:
  """The observations and actions of an environment. Observation keys are arbitrary
  names; images are uint8 of rank 3.

  Observations whose names begin with `goal/`, `event/` or `true/` are hidden from the world model, which neither encodes nor
  decodes them. They are stored like all others, and objectives and behaviours get them. `goal/<name>` is what the
  visible observation `<name>` would be where the goal is reached; `true/<name>` is the simulator's, which training may
  know and acting does without.
  """

  observation: Mapping[str, ArraySpec]
  action: ActionSpec

  @property
  def visible(self) -> dict[str, ArraySpec]:
    """The observations that the world model encodes."""
    return {name: array for name, array in self.observation.items() if not is_hidden(name)}


def is_hidden(name: str) -> bool:
  """Whether the world model does not see the observation of that name."""
  return name.startswith((GOAL, EVENT, TRUE))


class Transition(NamedTuple):
  """One step of many streams, or sequences of steps: every array has the same leading axes ([E], or [B, T]).

  An episode that ends by time limit has `is_last` without `is_terminal`; `is_terminal` implies `is_last`.
  """

  observation: ArrayDict
  action: Array  # [..., A] float32; led to `observation`; zero where is_first
  reward: Array  # [...] float32; arrived with `observation`; zero where is_first
  is_first: Array  # [...] bool
  is_last: Array  # [...] bool
  is_terminal: Array  # [...] bool


OBSERVATION = "observation/"  # begins the names of observations among the columns of a transition


def column_specs(spec: EnvSpec) -> dict[str, ArraySpec]:
  """One step of each array of a transition by a name of its own, as replay and files keep them."""
  return {
    **{OBSERVATION + name: array for name, array in spec.observation.items()},
    "action": ArraySpec((spec.action.size,)),
    "reward": ArraySpec(()),
    **{name: ArraySpec((), "bool") for name in ("is_first", "is_last", "is_terminal")},
  }


def to_columns(transition: Transition) -> dict[str, Array]:
  """The arrays of a transition by the names of `column_specs`."""
  columns = {OBSERVATION + name: array for name, array in transition.observation.items()}
  return columns | {name: getattr(transition, name) for name in Transition._fields if name != "observation"}


def to_transition(columns: Mapping[str, Array]) -> Transition:
  """The inverse of `to_columns`. Columns of other names are left out."""
  observation = {name.removeprefix(OBSERVATION): x for name, x in columns.items() if name.startswith(OBSERVATION)}
  return Transition(observation, *(columns[name] for name in Transition._fields[1:]))


class Batch(NamedTuple):
  """The data that one update trains on."""

  steps: Transition  # [B, T, ...]
  context: ArrayDict  # [B, ...] latents stored at the step before steps[:, 0]; empty where sequences start from zero
