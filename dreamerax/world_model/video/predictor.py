"""Defines what every predictor of frames can do; the video model knows no more of it than this."""

import abc
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx

State = Any  # what a predictor remembers of earlier frames: a pytree of arrays [N, ...] float32
FrameShape = tuple[int, int, int]  # height, width, channels


class Predicted(NamedTuple):
  """The next frame, and what the predictor remembers of those before it."""

  state: State
  frame: jax.Array  # [N, H, W, C] float32, aims at [0, 1]
  flow: jax.Array | None = None
  """Where each pixel came from, [N, K², H, W] as `ops.advection.advect` takes it; None where no pixels are moved."""


@dataclass(frozen=True)
class FramePredictor(abc.ABC):
  """Configuration of a network that predicts the next frame from frames and actions."""

  @property
  @abc.abstractmethod
  def factor(self) -> int:
    """The sides of frames are multiples of this; smaller images are framed in zeros."""

  @property
  def has_latents(self) -> bool:
    """Whether the module is a `LatentPredictorModule`."""
    return False

  @abc.abstractmethod
  def build(self, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "FramePredictorModule":
    """shape: of a frame. action: length of an action vector."""


class FramePredictorModule(nnx.Module):
  """Predicts the next frame from the newest one, the action taken there, and a memory of earlier ones."""

  summary_size: int
  """Length of `summary`; 0 where the memory has none."""
  flow_size: int = 0
  """K², the length of `flow` at each pixel; 0 where predictions have none."""

  @abc.abstractmethod
  def initial(self, batch: int) -> State:
    """Zeros [batch, ...], the memory before the first frame."""

  @abc.abstractmethod
  def __call__(self, state: State, frame: jax.Array, action: jax.Array, key: jax.Array | None) -> Predicted:
    """
    Args:
      state: what is remembered of the frames before `frame`.
      frame: [N, H, W, C] in [0, 1], seen or predicted.
      action: [N, A], taken there.
      key: of a draw; None expects the mean.

    Returns:
      The next frame, and the memory of `frame` and of those before it.
    """

  def see(
    self, state: State, frame: jax.Array, action: jax.Array, after: jax.Array, key: jax.Array | None
  ) -> Predicted:
    """The frame that was expected, and the memory once the next one, `after` [N, H, W, C], has been seen.

    key: of draws; None takes means.
    """
    return self(state, frame, action, None)

  @abc.abstractmethod
  def summary(self, state: State) -> jax.Array:
    """Memory [..., ...] -> [..., S], what heads see of it beside the frame."""


class Inferred(NamedTuple):
  """Sequences as a predictor with latent variables explains them."""

  state: State  # [B, T, ...], the memory of the frames before each
  predicted: jax.Array  # [B, T, H, W, C], from the frames before and the latent's posterior; zeros at the first
  kl: jax.Array  # [B, T], of the posterior from the prior in nats; zeros at the first


class LatentPredictorModule(FramePredictorModule):
  """A predictor that draws a latent variable at every step, which a posterior infers from the next frame."""

  @abc.abstractmethod
  def infer(
    self, frame: jax.Array, action: jax.Array, is_first: jax.Array, shown: jax.Array, key: jax.Array
  ) -> Inferred:
    """
    Args:
      frame: [B, T, H, W, C] in [0, 1]. action: [B, T, A], led to `frame`. is_first: [B, T].
      shown: [B, T], whether the decoder may see maps of that frame; where it may not, it sees those of the newest that
        it may.
    """
