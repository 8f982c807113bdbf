"""Training on a bound of the likelihood, for predictors with latent variables (Denton and Fergus 2018)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.world_model.video.predictor import FramePredictorModule, LatentPredictorModule
from dreamerax.world_model.video.training import Frames, FrameTraining, Taught, age, squared_error


@dataclass(frozen=True)
class Variational(FrameTraining):
  """Each frame is predicted from the true ones before it and a draw of the latent's posterior, which sees the frame too.

  The error of a step is the squared error of its frame and, `kl_scale` times as much for each entry of the frame,
  KL(posterior ‖ prior): published losses are means over pixels beside a KL that is a sum. All steps after the first are
  scored; the decoder sees the maps of the `context` first frames alone.
  """

  context: int = 2
  kl_scale: float = 1e-4

  def __post_init__(self):
    checks.at_least(1, self, "context")
    checks.at_least(0, self, "kl_scale")

  @property
  def infers(self) -> bool:
    return True

  def teach(self, predictor: FramePredictorModule, frames: Frames, updates: jax.Array, key: jax.Array) -> Taught:
    assert isinstance(predictor, LatentPredictorModule)
    ages = age(frames.is_first)
    found = predictor.infer(frames.frame, frames.action, frames.is_first, ages < self.context, key)
    scored = ages > 0
    error = jnp.where(scored, squared_error(found.predicted, frames.frame), 0)
    kl = jnp.where(scored, found.kl, 0)
    entries = frames.frame[0, 0].size
    metrics = {"video/kl": kl.sum() / jnp.maximum(scored.sum(), 1)}
    latents = {"state": found.state, "frame": frames.frame}
    return Taught(error + self.kl_scale * entries * kl, latents, metrics)
