"""Relabelling: which replayed step counts as the goal of each step of a batch (hindsight)."""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dreamerax import checks


class Span(NamedTuple):
  """The first and last step, in its row, of each step's episode, as far as the batch
  holds it: int32 [B, T]."""

  first: jax.Array
  last: jax.Array


def spans(is_first: jax.Array) -> Span:
  """Finds the episodes of the steps that is_first [B, T] belongs to."""
  length = is_first.shape[1]
  time = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), is_first.shape)
  first = jax.lax.cummax(jnp.where(is_first, time, 0), axis=1)
  ends = jnp.pad(is_first[:, 1:], ((0, 0), (0, 1)), constant_values=True)
  last = jax.lax.cummin(jnp.where(ends, time, length - 1), axis=1, reverse=True)
  return Span(first, last)


@dataclass(frozen=True)
class Relabel(abc.ABC):
  """A rule that names a step of the batch for each of its steps, to be its goal."""

  @abc.abstractmethod
  def goals(self, values: jax.Array, is_first: jax.Array, key: jax.Array) -> jax.Array:
    """Values [B, T, ...] of a batch's steps -> those of each step's goal [B, T, ...].

    But for `Shuffled`, a goal is of the same episode as its step.

    Args:
      is_first: [B, T], of the same steps.
    """


@dataclass(frozen=True)
class _Within(Relabel):
  """A rule that looks at one row at a time, so that rows on different devices stay there."""

  def goals(self, values: jax.Array, is_first: jax.Array, key: jax.Array) -> jax.Array:
    time = jnp.broadcast_to(jnp.arange(is_first.shape[1], dtype=jnp.int32), is_first.shape)
    chosen = self._time(time, spans(is_first), key)
    return jnp.take_along_axis(values, chosen.reshape(*chosen.shape, *[1] * (values.ndim - 2)), 1)

  @abc.abstractmethod
  def _time(self, time: jax.Array, span: Span, key: jax.Array) -> jax.Array:
    """The goal's place in its row, int32 [B, T], of steps at `time` [B, T]."""


@dataclass(frozen=True)
class Final(_Within):
  """The last step of the episode that the batch holds (Andrychowicz et al. 2017, "final")."""

  def _time(self, time: jax.Array, span: Span, key: jax.Array) -> jax.Array:
    return span.last


@dataclass(frozen=True)
class Future(_Within):
  """Any later step of the episode, all equally likely; its last step has itself (Andrychowicz et al. 2017, "future")."""

  def _time(self, time: jax.Array, span: Span, key: jax.Array) -> jax.Array:
    return jnp.where(time < span.last, _between(key, time + 1, span.last), time)


@dataclass(frozen=True)
class Near(_Within):
  """One of the next `limit` steps of the episode or the step itself, all equally likely."""

  limit: int = 15  # agent steps

  def __post_init__(self):
    checks.at_least(1, self, "limit")

  def _time(self, time: jax.Array, span: Span, key: jax.Array) -> jax.Array:
    return _between(key, time, jnp.minimum(time + self.limit, span.last))


@dataclass(frozen=True)
class Any(_Within):
  """Any step of the episode, all equally likely (Andrychowicz et al. 2017, "episode")."""

  def _time(self, time: jax.Array, span: Span, key: jax.Array) -> jax.Array:
    return _between(key, span.first, span.last)


@dataclass(frozen=True)
class Geometric(_Within):
  """A later step as far away as a discounted return looks: k steps with probability (1 - p)^(k-1) p, k ≥ 1.

  What lies beyond the episode's end is drawn at its last step.
  """

  p: float = 0.05  # probability that the goal is the next step; 1 - p is the discount

  def __post_init__(self):
    checks.more_than_zero(self, "p")
    checks.between(0, 1, self, "p")

  def _time(self, time: jax.Array, span: Span, key: jax.Array) -> jax.Array:
    ahead = jax.random.geometric(key, self.p, time.shape, dtype=jnp.int32)
    return time + jnp.minimum(ahead, span.last - time)


@dataclass(frozen=True)
class Shuffled(Relabel):
  """Any step of the whole batch, all equally likely: mostly of another episode (Mendonca et al. 2021)."""

  def goals(self, values: jax.Array, is_first: jax.Array, key: jax.Array) -> jax.Array:
    chosen = jax.random.randint(key, is_first.shape, 0, is_first.size)
    return jax.lax.collapse(values, 0, 2)[chosen]


def _between(key: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Whole numbers, low and high included; low where high is less."""
  share = jax.random.uniform(key, low.shape)
  return jnp.clip(low + jnp.floor(share * (high - low + 1)).astype(jnp.int32), low, jnp.maximum(low, high))
