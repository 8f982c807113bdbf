"""Training on ever fewer true frames (Bengio et al. 2015)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.dynamics.base import Latent, reset_where
from dreamerax.ops.scan import forgetful
from dreamerax.world_model.video.predictor import FramePredictorModule
from dreamerax.world_model.video.training import Frames, FrameTraining, Taught, age, squared_error


@dataclass(frozen=True)
class ScheduledSampling(FrameTraining):
  """After its context, a sequence is predicted from true frames in some rows, and from predicted ones in the others.

  Of a batch of B rows, round(B k / (k + exp(i / k))) see the truth after i updates, k being `decay`; which, is drawn anew
  at every step (Finn et al. 2016).
  """

  context: int = 2
  decay: float = 900.0  # updates

  def __post_init__(self):
    checks.at_least(1, self, "context")
    checks.more_than_zero(self, "decay")

  def true_rows(self, rows: int, updates: jax.Array) -> jax.Array:
    """How many of `rows` see the truth."""
    return jnp.round(rows * self.decay / (self.decay + jnp.exp(updates / self.decay)))

  def teach(self, predictor: FramePredictorModule, frames: Frames, updates: jax.Array, key: jax.Array) -> Taught:
    rows, length = frames.is_first.shape
    ages, count = age(frames.is_first), self.true_rows(rows, updates)

    def step(latent: Latent, inputs: tuple[jax.Array, ...]) -> tuple[Latent, tuple[Latent, jax.Array]]:
      truth, action, is_first, age, key = inputs
      found = predictor(latent["state"], latent["frame"], action, None)
      chosen = jax.random.permutation(key, rows) < count
      fed = jnp.where(((age < self.context) | chosen)[:, None, None, None], truth, found.frame)
      latent = {"state": reset_where(is_first, found.state), "frame": fed}
      error = jnp.where(age >= self.context, squared_error(found.frame, truth), 0)
      return latent, (latent, error)

    first = {"state": predictor.initial(rows), "frame": frames.frame[:, 0]}
    rest = jax.tree.map(lambda x: x[:, 1:].swapaxes(0, 1), (frames.frame, frames.action, frames.is_first, ages))
    _, (later, errors) = jax.lax.scan(forgetful(step), first, (*rest, jax.random.split(key, length - 1)))
    latents = jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]).swapaxes(0, 1), first, later)
    error = jnp.concatenate([jnp.zeros((1, rows)), errors]).swapaxes(0, 1)
    return Taught(error, latents, {"video/true_rows": count / rows})
