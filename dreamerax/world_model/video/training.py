"""Defines how a video model's own predictions are fed back to it in training."""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dreamerax.dynamics.base import Latent
from dreamerax.world_model.video.predictor import FramePredictorModule, Predicted, State


class Frames(NamedTuple):
  """A batch as a predictor of frames sees it, and what it made of it."""

  frame: jax.Array  # [B, T, H, W, C] in [0, 1], the truth
  action: jax.Array  # [B, T, A], led to `frame`
  is_first: jax.Array  # [B, T]
  state: State  # [B, T, ...], the memory of the frames before `frame`, all of them seen
  predicted: jax.Array  # [B, T, H, W, C], expected at each step from the true frames before; zeros at the first


class Taught(NamedTuple):
  """The outcome of a batch."""

  error: jax.Array  # [B, T], squared error summed over a frame's entries; 0 where nothing is scored
  latents: Latent  # [B, T, ...], "state" and "frame": those that the model was in, for its heads to learn from
  metrics: dict[str, jax.Array]  # scalars


@dataclass(frozen=True)
class FrameTraining(abc.ABC):
  """Decides which predictions are scored, and from which frames, true or predicted, they are made."""

  context: int = 1
  """Frames of an episode, or of a sequence that begins within one, that are seen before predictions are scored."""

  @property
  def infers(self) -> bool:
    """Whether it trains predictors with latent variables; then it trains no others."""
    return False

  @abc.abstractmethod
  def teach(self, predictor: FramePredictorModule, frames: Frames, updates: jax.Array, key: jax.Array) -> Taught:
    """updates: how many were made before this one, a scalar."""


def age(is_first: jax.Array) -> jax.Array:
  """[B, T]: steps since the episode, or the sequence, began."""
  time = jnp.arange(is_first.shape[1])
  return time - jax.lax.cummax(jnp.where(is_first, time, 0), 1)


def squared_error(predicted: jax.Array, truth: jax.Array) -> jax.Array:
  """[..., H, W, C] twice -> [...]: the sum over a frame."""
  return jnp.square(predicted - truth).sum((-3, -2, -1))


def step_all(predictor: FramePredictorModule, latent: Latent, action: jax.Array) -> Predicted:
  """One step of latents with the leading axes of `action` [B, T, A], each for itself."""
  leading = action.shape[:-1]
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(leading) :]), (latent, action))
  found = predictor(flat[0]["state"], flat[0]["frame"], flat[1], None)
  return jax.tree.map(lambda x: x.reshape(*leading, *x.shape[1:]), found)
