"""Turns gradients into steps: LaProp with adaptive gradient clipping, and TensorFlow's Adam."""

import abc
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dreamerax import checks


@dataclass(frozen=True)
class Optimizer(abc.ABC):
  """Configuration of an optimiser."""

  @abc.abstractmethod
  def build(self) -> optax.GradientTransformation:
    """The optax transformation; its update needs the parameters."""


@dataclass(frozen=True)
class LaProp(Optimizer):
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
    rate = self.learning_rate
    if self.warmup:
      rate = optax.schedules.linear_schedule(0.0, self.learning_rate, self.warmup)
    return optax.chain(
      clip_per_tensor(self.clip),
      optax.scale_by_rms(self.beta2, self.eps, eps_in_sqrt=False, bias_correction=True),
      optax.ema(self.beta1, debias=True),
      optax.scale_by_learning_rate(rate),
    )


@dataclass(frozen=True)
class Adam(Optimizer):
  """Adam (Kingma and Ba 2015) behind clipping by global norm, as PlaNet, Dreamer v1 and v2 train with.

  `eps` is what the paper calls epsilon hat, as in TensorFlow: added to the root of the uncorrected mean square. optax adds
  it to the corrected one, where it weighs 1 / sqrt(1 - beta2^updates) less: 32 times in the first update.

  Two ways to keep parameters small: `decay` shrinks each alike, and `l2` those most whose gradient is small, as PyTorch's
  `weight_decay` does.
  """

  learning_rate: float = 1e-3
  eps: float = 1e-7
  clip: float = 100.0  # largest norm of all gradients together
  decay: float = 0.0  # share of each parameter taken off per update, whatever the learning rate
  beta1: float = 0.9  # of the mean
  beta2: float = 0.999  # of the mean square
  l2: float = 0.0  # times the parameter: added to the gradient, before the means

  def __post_init__(self):
    checks.more_than_zero(self, "learning_rate", "clip")
    checks.at_least(0, self, "eps", "l2")
    checks.between(0, 1, self, "decay", "beta1", "beta2")

  def build(self) -> optax.GradientTransformation:
    shrinking = [optax.add_decayed_weights(self.l2)] if self.l2 else []  # none adds nothing to checkpoints
    return optax.chain(
      optax.clip_by_global_norm(self.clip),
      *shrinking,
      scale_by_adam_hat(self.beta1, self.beta2, self.eps),
      optax.scale_by_learning_rate(self.learning_rate),
      optax.add_decayed_weights(-self.decay),
    )


@dataclass(frozen=True)
class LinearDecay(Optimizer):
  """Another optimiser, of whose steps a share is taken that falls linearly from 1 to 0; then nothing is learned any more."""

  inner: Optimizer
  updates: int  # from the first one to the one that changes nothing

  def __post_init__(self):
    checks.at_least(1, self, "updates")

  def build(self) -> optax.GradientTransformation:
    factor = optax.schedules.linear_schedule(1.0, 0.0, self.updates)
    return optax.chain(self.inner.build(), optax.scale_by_schedule(factor))


def scale_by_adam_hat(beta1: float, beta2: float, eps: float) -> optax.GradientTransformation:
  """optax's `scale_by_adam` with TensorFlow's epsilon: m / (1 - beta1^t) · sqrt(1 - beta2^t) / (sqrt(v) + eps)."""

  def update(updates, state, params=None):
    corrected = eps / jnp.sqrt(1 - beta2 ** (state.count + 1))
    return optax.scale_by_adam(beta1, beta2, corrected).update(updates, state, params)

  return optax.GradientTransformation(optax.scale_by_adam(beta1, beta2).init, update)


def clip_per_tensor(clip: float, minimum_norm: float = 1e-3) -> optax.GradientTransformation:
  """Scales a tensor's gradient down where its norm exceeds `clip` times the tensor's own norm (at least `minimum_norm`).

  Adaptive gradient clipping (Brock et al. 2021) over whole tensors; optax's own works per output unit.
  """

  def update(updates, state, params=None):
    if params is None:
      raise ValueError("clipping by parameter norm needs the parameters: pass them to update()")

    def clip_one(gradient: jax.Array, norm: jax.Array, param_norm: jax.Array) -> jax.Array:
      return gradient / jnp.maximum(1.0, norm / (clip * jnp.maximum(minimum_norm, param_norm)))

    return jax.tree.map(clip_one, updates, _norms(updates), _norms(params)), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _norms(tree: Any) -> Any:
  """Every array's Euclidean norm. Vectors of one length get theirs together, each a launch or two less on an accelerator."""
  leaves, structure = jax.tree.flatten(tree)
  norms = [jnp.linalg.norm(leaf.ravel()) if leaf.ndim > 1 else None for leaf in leaves]
  vectors: dict[int, list[int]] = {}
  for index, leaf in enumerate(leaves):
    if leaf.ndim <= 1:
      vectors.setdefault(leaf.size, []).append(index)
  for indices in vectors.values():
    together = jnp.linalg.norm(jnp.stack([leaves[index].ravel() for index in indices]), axis=-1)
    for index, norm in zip(indices, together, strict=True):
      norms[index] = norm
  return jax.tree.unflatten(structure, norms)
