"""How Oh et al. (2015) encode the frames so far: a few of them at once, or one by one with an LSTM."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import Linear
from dreamerax.nets.convolutions import HalvingConv
from dreamerax.nets.lstm import LSTM
from dreamerax.world_model.video.predictor import FrameShape, State


@dataclass(frozen=True)
class Encoding(abc.ABC):
  """Configuration of an encoding."""

  @abc.abstractmethod
  def build(
    self, shape: FrameShape, channels: tuple[int, ...], units: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "EncodingModule":
    """shape: of a frame. channels: of the convolutions, each of which halves the sides. units: length of the code."""


class EncodingModule(nnx.Module):
  """A code of the newest frame and of those before it."""

  summary_size: int

  @abc.abstractmethod
  def initial(self, batch: int) -> State:
    """Zeros [batch, ...]."""

  @abc.abstractmethod
  def __call__(self, state: State, frame: jax.Array) -> tuple[State, jax.Array]:
    """Memory and frame [N, H, W, C], its mean taken off -> the memory with the frame in it, and the code [N, units]."""

  @abc.abstractmethod
  def summary(self, state: State) -> jax.Array:
    """Memory [..., ...] -> [..., S]."""


@dataclass(frozen=True)
class Stacked(Encoding):
  """The feedforward encoding: convolutions over the newest frames, stacked along channels.

  Frames before the first one are zeros.
  """

  frames: int = 4

  def __post_init__(self):
    checks.at_least(1, self, "frames")

  def build(
    self, shape: FrameShape, channels: tuple[int, ...], units: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "StackedModule":
    return StackedModule(self, shape, channels, units, dtype=dtype, rngs=rngs)


class StackedModule(EncodingModule):
  """Built from `Stacked`; remembers all frames but the newest one."""

  summary_size = 0

  def __init__(
    self,
    config: Stacked,
    shape: FrameShape,
    channels: tuple[int, ...],
    units: int,
    *,
    dtype: Any,
    rngs: nnx.Rngs,
  ):
    height, width, colours = shape
    self.shape = (height, width, (config.frames - 1) * colours)
    self.look = _Convolutions((height, width, config.frames * colours), channels, units, dtype=dtype, rngs=rngs)

  def initial(self, batch: int) -> State:
    return {"frames": jnp.zeros((batch, *self.shape))}

  def __call__(self, state: State, frame: jax.Array) -> tuple[State, jax.Array]:
    frames = jnp.concatenate([state["frames"], frame], -1)  # the oldest first
    return {"frames": frames[..., frame.shape[-1] :]}, self.look(frames)

  def summary(self, state: State) -> jax.Array:
    return jnp.zeros((*state["frames"].shape[:-3], 0))


@dataclass(frozen=True)
class Recurrent(Encoding):
  """The recurrent encoding: convolutions over the newest frame, then an LSTM of as many units as the code has."""

  def build(
    self, shape: FrameShape, channels: tuple[int, ...], units: int, *, dtype: Any, rngs: nnx.Rngs
  ) -> "RecurrentModule":
    return RecurrentModule(shape, channels, units, dtype=dtype, rngs=rngs)


class RecurrentModule(EncodingModule):
  """Built from `Recurrent`; remembers the LSTM's state."""

  def __init__(self, shape: FrameShape, channels: tuple[int, ...], units: int, *, dtype: Any, rngs: nnx.Rngs):
    self.summary_size = units
    self.look = _Convolutions(shape, channels, units, dtype=dtype, rngs=rngs)
    self.lstm = LSTM(units, units, dtype=dtype, rngs=rngs)

  def initial(self, batch: int) -> State:
    return self.lstm.initial(batch)

  def __call__(self, state: State, frame: jax.Array) -> tuple[State, jax.Array]:
    state = self.lstm(state, self.look(frame))
    return state, state["hidden"]

  def summary(self, state: State) -> jax.Array:
    return state["hidden"]


class _Convolutions(nnx.Module):
  """[N, H, W, C] -> [N, units]: convolutions that halve the sides, and a dense layer, each before a ReLU."""

  def __init__(self, shape: FrameShape, channels: tuple[int, ...], units: int, *, dtype: Any, rngs: nnx.Rngs):
    height, width, inputs = shape
    stages = {}
    for index, outputs in enumerate(channels):
      stages[f"stage{index}"] = HalvingConv(inputs, outputs, dtype=dtype, rngs=rngs)
      height, width, inputs = height // 2, width // 2, outputs
    self.stages = nnx.Dict(stages)
    self.dense = Linear(height * width * inputs, units, dtype=dtype, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    for stage in self.stages.values():
      x = jax.nn.relu(stage(x))
    return jax.nn.relu(self.dense(x.reshape(x.shape[0], -1)))
