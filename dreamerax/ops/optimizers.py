"""Gradient transformations: LaProp with adaptive gradient clipping."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from dreamerax.ops import checks


@dataclass(frozen=True)
class LaProp:
  """LaProp (Ziyin et al. 2020) behind adaptive gradient clipping, with a linear warm-up, as DreamerV3 trains with.

  Order: clip each tensor, divide by the bias-corrected root mean square, average with bias-corrected momentum, then the
  learning rate, which rises linearly from 0 over the first `warmup` updates.
  """

  learning_rate: float = 4e-5  # once the warm-up is over
  clip: float = 0.3  # largest ratio of a tensor's gradient norm to its own norm
  eps: float = 1e-20  # added to the root mean square
  beta1: float = 0.9  # of the momentum
  beta2: float = 0.999  # of the mean square
  warmup: int = 1000  # updates

  def __post_init__(self):
    checks.more_than_zero(self, "learning_rate", "clip")
    checks.at_least(0, self, "eps", "warmup")
    checks.between(0, 1, self, "beta1", "beta2")

  def build(self) -> optax.GradientTransformation:
    """The optax transformation; its update needs the parameters."""
    rate = self.learning_rate
    if self.warmup:
      rate = optax.schedules.linear_schedule(0.0, self.learning_rate, self.warmup)
    return optax.chain(
      clip_per_tensor(self.clip),
      optax.scale_by_rms(self.beta2, self.eps, eps_in_sqrt=False, bias_correction=True),
      optax.ema(self.beta1, debias=True),
      optax.scale_by_learning_rate(rate),
    )


def clip_per_tensor(clip: float, minimum_norm: float = 1e-3) -> optax.GradientTransformation:
  """Scales a tensor's gradient down where its norm exceeds `clip` times the tensor's own norm (at least `minimum_norm`).

  Adaptive gradient clipping (Brock et al. 2021) over whole tensors; optax's own works per output unit.
  """

  def update(updates, state, params=None):
    if params is None:
      raise ValueError("clipping by parameter norm needs the parameters: pass them to update()")

    def clip_one(gradient: jax.Array, param: jax.Array) -> jax.Array:
      limit = clip * jnp.maximum(minimum_norm, jnp.linalg.norm(param.ravel()))
      return gradient / jnp.maximum(1.0, jnp.linalg.norm(gradient.ravel()) / limit)

    return jax.tree.map(clip_one, updates, params), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
