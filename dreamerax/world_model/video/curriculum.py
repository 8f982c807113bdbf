"""Training on predictions one step ahead, later on those of several (Oh et al. 2015)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.dynamics.base import Latent
from dreamerax.ops.scan import forgetful
from dreamerax.world_model.video.predictor import FramePredictorModule
from dreamerax.world_model.video.training import Frames, FrameTraining, Taught, age, squared_error, step_all

_Carry = tuple[Latent, jax.Array]  # what was predicted at each step [B, T, ...], and whether that is scored [B, T]


@dataclass(frozen=True)
class Curriculum(FrameTraining):
  """From each step of a sequence K frames are predicted, each from those predicted before it; K grows with the updates.

  The error of a step is 1/K of the sum of the squared errors of its frame, as it was predicted 1 to K steps ahead. The
  gradient passes through all K steps.
  """

  steps: tuple[int, ...] = (1, 3, 5)
  """K of each stage."""
  begins: tuple[int, ...] = (0, 1_500_000, 2_500_000)
  """Updates after which each stage begins; the first is 0."""

  def __post_init__(self):
    checks.at_least(1, self, "context")
    if not self.steps or min(self.steps) < 1:
      raise ValueError(f"steps={self.steps} must be one positive number or more")
    if len(self.begins) != len(self.steps):
      raise ValueError(f"begins={self.begins} must have a number for each of steps={self.steps}")
    if self.begins[0] != 0 or any(a >= b for a, b in zip(self.begins, self.begins[1:], strict=False)):
      raise ValueError(f"begins={self.begins} must begin with 0 and rise")

  def teach(self, predictor: FramePredictorModule, frames: Frames, updates: jax.Array, key: jax.Array) -> Taught:
    stage = (updates >= jnp.asarray(self.begins[1:])).sum()
    steps = jnp.asarray(self.steps)[stage]
    metrics = {"video/steps_ahead": steps.astype(jnp.float32)}
    return Taught(self._error(predictor, frames, steps), {"state": frames.state, "frame": frames.frame}, metrics)

  def _error(self, predictor: FramePredictorModule, frames: Frames, steps: jax.Array) -> jax.Array:
    """[B, T], mean over predictions 1 to `steps` ahead."""
    scored = ~frames.is_first & (age(frames.is_first) >= self.context)
    one = jnp.where(scored, squared_error(frames.predicted, frames.frame), 0)

    def ahead(carry: _Carry, number: jax.Array) -> tuple[_Carry, jax.Array]:
      return jax.lax.cond(number < steps, forgetful(step), lambda carry: (carry, jnp.zeros_like(one)), carry)

    def step(carry: _Carry) -> tuple[_Carry, jax.Array]:
      latent, scored = jax.tree.map(lambda x: jnp.roll(x, 1, 1), carry)  # to the step that they predict
      scored = (scored & ~frames.is_first).at[:, 0].set(False)
      found = step_all(predictor, latent, frames.action)
      error = jnp.where(scored, squared_error(found.frame, frames.frame), 0)
      return ({"state": found.state, "frame": found.frame}, scored), error

    first = {"state": frames.state, "frame": frames.predicted}, scored
    _, errors = jax.lax.scan(ahead, first, jnp.arange(1, max(self.steps)))
    return (one + errors.sum(0)) / steps
