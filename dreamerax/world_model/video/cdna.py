"""Convolutional dynamic neural advection (Finn et al. 2016): predicts how the pixels of the newest frame move."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.nets.blocks import Linear
from dreamerax.nets.convolutions import Conv, DoublingConv, HalvingConv, MapNorm
from dreamerax.nets.lstm import ConvLSTM
from dreamerax.ops.advection import advect, joint_flow
from dreamerax.world_model.video.predictor import FramePredictor, FramePredictorModule, FrameShape, Predicted, State

_LAYERS = 7
_LEAST = 1e-12  # that a weight of a kernel has before all are divided by their sum


@dataclass(frozen=True)
class CDNA(FramePredictor):
  """Convolutional LSTMs give kernels that move the newest frame, a newly painted one, and masks that mix them.

  The mixture is of the still frame, the painted one and `moves` moved ones. In the published code the last kernel is never
  used, as it pairs 10 masks with 11 layers; here all are. Its convolutions of stride 2 have kernels of 3 and 5 pixels,
  these have 4.
  """

  channels: tuple[int, ...] = (32, 32, 64, 64, 128, 64, 32)
  """Of the convolutional LSTMs: two at a half of the frame's sides, two at a quarter, one at an eighth, and back."""
  side: int = 5  # of the LSTMs' convolutions
  moves: int = 10  # kernels
  kernel: int = 5  # side of a kernel, which moves pixels by half of it at most
  still: float = 0.0  # bias that the mask of the still frame begins with; published 0

  def __post_init__(self):
    checks.at_least(1, self, "moves")
    if len(self.channels) != _LAYERS or min(self.channels) < 1:
      raise ValueError(f"channels={self.channels} must be {_LAYERS} positive numbers")
    for name in ("side", "kernel"):
      if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
        raise ValueError(f"{name}={getattr(self, name)} must be an odd number of pixels")

  @property
  def factor(self) -> int:
    return 8

  def build(self, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "CDNAModule":
    return CDNAModule(self, shape, action, dtype=dtype, rngs=rngs)


class Motion(NamedTuple):
  """The parts of a predicted frame."""

  kernels: jax.Array  # [N, M, K²], each sums to 1
  painted: jax.Array  # [N, H, W, C] in [0, 1]
  masks: jax.Array  # [N, 2 + M, H, W], sum to 1 at each place: of the still frame, the painted one, and the moved ones


class CDNAModule(FramePredictorModule):
  """Built from `CDNA`."""

  def __init__(self, config: CDNA, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.flow_size = config, config.kernel**2
    height, width, colours = shape
    outputs = config.channels
    self.summary_size = outputs[4]
    kinds = {"dtype": dtype, "rngs": rngs}
    self.enter, self.enter_norm = HalvingConv(colours, outputs[0], **kinds), MapNorm(outputs[0])
    self.halve1, self.halve2 = (HalvingConv(units, units, **kinds) for units in (outputs[1], outputs[3]))
    self.act = Conv(outputs[3] + action, outputs[3], 1, **kinds)
    inputs = (outputs[0], *outputs[:6])
    sizes = [(height // part, width // part) for part in (2, 2, 4, 4, 8, 4, 2)]
    self.cells = nnx.Dict(
      {f"cell{i}": ConvLSTM(inputs[i], outputs[i], sizes[i], config.side, **kinds) for i in range(_LAYERS)}
    )
    self.norms = nnx.Dict({f"norm{i}": MapNorm(outputs[i]) for i in range(_LAYERS)})
    self.double1 = DoublingConv(outputs[4], outputs[4], **kinds)
    self.double2 = DoublingConv(outputs[5] + outputs[1], outputs[5], **kinds)
    self.double3, self.leave_norm = DoublingConv(outputs[6] + outputs[0], outputs[6], **kinds), MapNorm(outputs[6])
    small = sizes[4][0] * sizes[4][1] * outputs[4]
    self.kernels = Linear(small, config.moves * config.kernel**2, **kinds)
    self.paint, self.masks = Conv(outputs[6], colours, 1, **kinds), Conv(outputs[6], 2 + config.moves, 1, **kinds)
    self.masks.bias = nnx.Param(jnp.zeros(2 + config.moves).at[0].set(config.still))

  def initial(self, batch: int) -> State:
    return {name: cell.initial(batch) for name, cell in self.cells.items()}

  def __call__(self, state: State, frame: jax.Array, action: jax.Array, key: jax.Array | None) -> Predicted:
    state, motion = self.motion(state, frame, action)
    still, paint = motion.masks[:, :1], motion.masks[:, 1, :, :, None]
    middle = jnp.arange(self.flow_size) == self.flow_size // 2
    flow = joint_flow(motion.kernels, motion.masks[:, 2:]) + still * middle[:, None, None]
    return Predicted(state, advect(frame, flow) + paint * motion.painted, flow)

  def summary(self, state: State) -> jax.Array:
    return state["cell4"]["hidden"].mean((-3, -2))

  def motion(self, state: State, frame: jax.Array, action: jax.Array) -> tuple[State, Motion]:
    """The memory with `frame` [N, H, W, C] in it, and what the next frame is made of."""
    later = dict(state)

    def remember(layer: int, x: jax.Array) -> jax.Array:
      name = f"cell{layer}"
      later[name] = self.cells[name](state[name], x)
      return self.norms[f"norm{layer}"](later[name]["hidden"])

    relu = jax.nn.relu
    half = relu(self.enter_norm(self.enter(frame - 0.5)))
    quarter = relu(self.halve1(remember(1, remember(0, half))))
    eighth = relu(self.halve2(remember(3, remember(2, quarter))))
    tiled = jnp.broadcast_to(action[:, None, None], (*eighth.shape[:3], action.shape[-1])).astype(eighth.dtype)
    small = remember(4, relu(self.act(jnp.concatenate([eighth, tiled], -1))))
    x = remember(5, relu(self.double1(small)))
    x = remember(6, relu(self.double2(jnp.concatenate([x, quarter.astype(x.dtype)], -1))))
    x = relu(self.leave_norm(self.double3(jnp.concatenate([x, half.astype(x.dtype)], -1))))
    return later, self._mix(small, x)

  def _mix(self, small: jax.Array, x: jax.Array) -> Motion:
    config = self.config
    kernels = self.kernels(small.reshape(small.shape[0], -1)).astype(jnp.float32)
    kernels = jax.nn.relu(kernels - _LEAST).reshape(-1, config.moves, config.kernel**2) + _LEAST
    return Motion(
      kernels / kernels.sum(-1, keepdims=True),
      jax.nn.sigmoid(self.paint(x).astype(jnp.float32)),
      jax.nn.softmax(self.masks(x).astype(jnp.float32).transpose(0, 3, 1, 2), 1),
    )
