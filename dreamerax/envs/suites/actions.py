"""Converts the policy's actions, in [-1, 1] or one-hot, to those that a simulator takes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dreamerax.envs.base import checked_action
from dreamerax.types import ActionSpec

# MuJoCo writes "no limit" as ±1e10, gymnasium as ±inf. No bounded actuator comes near.
_UNBOUNDED = 1e9


@dataclass(frozen=True)
class BoxActions:
  """A box of any shape. An axis with finite bounds is stretched to them; an unbounded one is passed on as it is."""

  minimum: np.ndarray
  maximum: np.ndarray

  @cached_property  # asked for at every step
  def spec(self) -> ActionSpec:
    return ActionSpec(size=self.minimum.size)

  def __call__(self, action: np.ndarray, name: str) -> np.ndarray:
    """`action` [A] clipped to [-1, 1] and in the simulator's units; `name` is the environment's, for its errors."""
    action = checked_action(action, self.spec, name).reshape(self.minimum.shape)
    bounded = (self.minimum > -_UNBOUNDED) & (self.maximum < _UNBOUNDED)
    low, high = np.where(bounded, self.minimum, -1), np.where(bounded, self.maximum, 1)
    # Rounding must not carry it past a bound, which gymnasium's environments may refuse.
    return np.clip(low + (action + 1) / 2 * (high - low), low, high)


@dataclass(frozen=True)
class IntegerActions:
  """A box of integers of any shape: each of an axis' values has an equal share of [-1, 1]."""

  minimum: np.ndarray
  maximum: np.ndarray
  dtype: str

  @cached_property  # asked for at every step
  def spec(self) -> ActionSpec:
    return ActionSpec(size=self.minimum.size)

  def __call__(self, action: np.ndarray, name: str) -> np.ndarray:
    """`action` [A] clipped to [-1, 1] as integers of the box; `name` is the environment's, for its errors."""
    action = checked_action(action, self.spec, name).reshape(self.minimum.shape)
    count = self.maximum - self.minimum + 1
    return np.minimum(self.minimum + np.floor((action + 1) / 2 * count), self.maximum).astype(self.dtype)


def box_actions(low: np.ndarray, high: np.ndarray, dtype: np.dtype, name: str) -> BoxActions | IntegerActions:
  """Actions of a box with these bounds, each of its shape.

  Raises:
    ValueError: the box is of integers, and has no bounds.
  """
  low, high = low.astype(np.float64), high.astype(np.float64)
  if dtype.kind not in "iu":
    return BoxActions(low, high)
  if (low <= -_UNBOUNDED).any() or (high >= _UNBOUNDED).any():
    raise ValueError(
      f"{name}: an action of {dtype} without bounds (from {low.min():g} to {high.max():g}) has too many values: bound it"
    )
  return IntegerActions(low, high, dtype.name)


@dataclass(frozen=True)
class DiscreteActions:
  """One of `size` choices, numbered from `start`."""

  size: int
  start: int = 0

  @cached_property  # asked for at every step
  def spec(self) -> ActionSpec:
    return ActionSpec(size=self.size, discrete=True)

  def __call__(self, action: np.ndarray, name: str) -> int:
    """The number of the choice that the one-hot `action` [A] marks; `name` is the environment's, for its errors."""
    return self.start + int(checked_action(action, self.spec, name).argmax())


@dataclass(frozen=True)
class ChoiceActions:
  """An array of choices, of any shape. Each entry is one of as many as `counts` has there, numbered from `start`."""

  counts: np.ndarray
  start: np.ndarray
  dtype: str

  @cached_property  # asked for at every step
  def spec(self) -> ActionSpec:
    return ActionSpec(size=int(self.counts.sum()), discrete=True, groups=tuple(self.counts.flat))

  def __call__(self, action: np.ndarray, name: str) -> np.ndarray:
    """The numbers of the choices that `action` [A] marks; `name` is the environment's, for its errors."""
    chosen = [part.argmax() for part in self.spec.split(checked_action(action, self.spec, name))]
    return (self.start + np.reshape(chosen, self.counts.shape)).astype(self.dtype)


def random_actions(spec: ActionSpec, rng: np.random.Generator, count: int) -> np.ndarray:
  """Uniform actions [count, A], float32: in [-1, 1], or one-hot in each group."""
  if spec.discrete:
    classes = rng.integers(spec.groups, size=(count, len(spec.groups)))
    return np.concatenate([np.eye(n, dtype=np.float32)[classes[:, i]] for i, n in enumerate(spec.groups)], -1)
  return rng.uniform(-1, 1, (count, spec.size)).astype(np.float32)
