"""A predictor that can be followed by hand."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dreamerax.world_model.video.predictor import FramePredictor, FramePredictorModule, FrameShape, Predicted, State

PUSH, RECALL = 0.3, 0.1  # what an action and what is remembered add to a frame


@dataclass(frozen=True)
class Toy(FramePredictor):
  """Adds to the frame a share of the action's first entry, and of the sum of all frames before it."""

  factor: int = 4  # type: ignore[reportIncompatibleMethodOverride]

  def build(self, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "ToyModule":
    return ToyModule(shape)


class ToyModule(FramePredictorModule):
  summary_size = 1

  def __init__(self, shape: FrameShape):
    self.shape = shape
    self.push = nnx.Param(jnp.full((), PUSH))

  def initial(self, batch: int) -> State:
    return {"sum": jnp.zeros((batch, *self.shape))}

  def __call__(self, state: State, frame: jax.Array, action: jax.Array, key: jax.Array | None) -> Predicted:
    moved = frame + self.push[...] * action[:, 0, None, None, None] + RECALL * state["sum"]
    return Predicted({"sum": state["sum"] + frame}, moved)

  def summary(self, state: State) -> jax.Array:
    return state["sum"].mean((-3, -2, -1))[..., None]


def next_by_hand(total: np.ndarray, frame: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The sum and the frame [H, W, C] after those of one row, as `ToyModule` has them."""
  return total + frame, frame + PUSH * action[0] + RECALL * total
