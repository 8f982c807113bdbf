"""The action-conditional video prediction of Oh et al. (2015)."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import Linear
from dreamerax.nets.convolutions import DoublingConv
from dreamerax.world_model.video.action_effects import ActionEffect, Multiplicative
from dreamerax.world_model.video.encodings import Encoding, Stacked
from dreamerax.world_model.video.predictor import FramePredictor, FramePredictorModule, FrameShape, Predicted, State


@dataclass(frozen=True)
class Oh(FramePredictor):
  """An encoding of the frames so far, the action's effect on it, and deconvolutions that paint the next frame.

  The published convolutions have kernels of 8, 6, 6 and 4 pixels; these have 4. The published code takes the mean image
  of its data off all frames; here a learned image stands in its place, as a model is built before it sees data.
  """

  encoding: Encoding = field(default_factory=Stacked)
  action: ActionEffect = field(default_factory=Multiplicative)
  channels: tuple[int, ...] = (64, 128, 128, 128)  # of the convolutions, each of which halves the sides
  units: int = 2048  # length of the code

  def __post_init__(self):
    checks.at_least(1, self, "units")
    if not self.channels or min(self.channels) < 1:
      raise ValueError(f"channels={self.channels} must be one positive number or more")

  @property
  def factor(self) -> int:
    return 2 ** len(self.channels)

  def build(self, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "OhModule":
    return OhModule(self, shape, action, dtype=dtype, rngs=rngs)


class OhModule(FramePredictorModule):
  """Built from `Oh`."""

  def __init__(self, config: Oh, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.encoding = config.encoding.build(shape, config.channels, config.units, dtype=dtype, rngs=rngs)
    self.effect = config.action.build(config.units, action, dtype=dtype, rngs=rngs)
    self.summary_size = self.encoding.summary_size
    self.mean = nnx.Param(jnp.full(shape, 0.5))
    height, width, colours = shape
    small = (height // config.factor, width // config.factor, config.channels[-1])
    self.small = small
    self.dense = Linear(config.units, small[0] * small[1] * small[2], dtype=dtype, rngs=rngs)
    outputs = (*config.channels[-2::-1], colours)
    inputs = (small[-1], *outputs[:-1])
    self.stages = nnx.Dict(
      {
        f"stage{index}": DoublingConv(*sizes, dtype=dtype, rngs=rngs)
        for index, sizes in enumerate(zip(inputs, outputs, strict=True))
      }
    )

  def initial(self, batch: int) -> State:
    return self.encoding.initial(batch)

  def __call__(self, state: State, frame: jax.Array, action: jax.Array, key: jax.Array | None) -> Predicted:
    state, code = self.encoding(state, frame - self.mean[...])
    x = jax.nn.relu(self.dense(self.effect(code, action))).reshape(-1, *self.small)
    for stage in list(self.stages.values())[:-1]:
      x = jax.nn.relu(stage(x))
    x = list(self.stages.values())[-1](x)
    return Predicted(state, x.astype(jnp.float32) + self.mean[...])

  def summary(self, state: State) -> jax.Array:
    return self.encoding.summary(state)
