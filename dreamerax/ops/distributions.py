"""Distributions over what heads and dynamics predict; the one file that imports distrax."""

from typing import Any, Protocol, cast

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.ops.transforms import symexp

_StraightThroughOneHot: Any = distrax.straight_through_wrapper(distrax.OneHotCategorical)


class Distribution(Protocol):
  """What the rest of the package uses of a distrax distribution."""

  def sample(self, *, seed: jax.Array) -> jax.Array: ...
  def mean(self) -> jax.Array: ...
  def mode(self) -> jax.Array: ...
  def log_prob(self, value: jax.Array) -> jax.Array: ...
  def entropy(self) -> jax.Array: ...
  def kl_divergence(self, other: Any) -> jax.Array: ...


def mix_uniform(logits: jax.Array, unimix: float) -> jax.Array:
  """Log-probabilities of (1 - unimix) softmax(logits) + unimix / classes, in float32; keeps every class reachable.

  Args:
    logits: [..., C].
    unimix: share of the uniform distribution, in [0, 1).
  """
  logits = logits.astype(jnp.float32)
  if not unimix:
    return jax.nn.log_softmax(logits, -1)
  probs = (1 - unimix) * jax.nn.softmax(logits, -1) + unimix / logits.shape[-1]
  return jnp.log(probs)


def one_hot(logits: jax.Array, unimix: float = 0.0, event_dims: int = 0) -> Distribution:
  """One-hot categorical with straight-through gradients of its samples (Bengio et al. 2013).

  Args:
    logits: [..., C]; with event_dims = 1, [..., S, C] holds S independent categoricals forming one event.
    unimix: share of the uniform distribution mixed in.
    event_dims: leading axes of an event beside the classes.
  """
  dist = _StraightThroughOneHot(logits=mix_uniform(logits, unimix), dtype=jnp.float32)
  return cast(Distribution, distrax.Independent(dist, event_dims)) if event_dims else dist


def normal(mean: jax.Array, std: jax.Array) -> Distribution:
  """Diagonal Gaussian over the last axis, in float32. Samples carry gradients (reparameterised)."""
  dist = distrax.Normal(mean.astype(jnp.float32), std.astype(jnp.float32))
  return cast(Distribution, distrax.Independent(dist, 1))


def bernoulli(logits: jax.Array) -> Distribution:
  """Bernoulli whose log_prob takes soft targets in [0, 1] too, where it is the cross-entropy."""
  return cast(Distribution, distrax.Bernoulli(logits=logits.astype(jnp.float32)))


class SymexpTwoHot:
  """A scalar as a categorical over exponentially spaced bins, trained by the two-hot cross-entropy.

  Hafner et al. 2023, Eq. 10-11. Bins lie at symexp of `bins` points spread evenly over [-20, 20]; both the weights of the
  two bins around a target and the mean are taken in raw, not in symlog, space.
  """

  def __init__(self, logits: jax.Array):
    """logits: [..., bins], an odd number of bins."""
    self.log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), -1)
    self.bins = symexp_bins(logits.shape[-1])

  def mean(self) -> jax.Array:
    """[...] expectation; uniform probabilities give exactly zero.

    Probabilities of opposite bins are subtracted before they meet their bin: the difference of their products is not zero
    where a compiler fuses one of them into a multiply-add, and the outermost bins make 0.16 of that rounding.
    """
    half = self.bins.shape[-1] // 2
    probs = jnp.exp(self.log_probs)
    return jnp.sum((probs[..., half + 1 :] - probs[..., :half][..., ::-1]) * self.bins[half + 1 :], -1)

  def log_prob(self, target: jax.Array) -> jax.Array:
    """[...] cross-entropy (negated) against the two-hot encoding of target [...]; targets beyond the bins go to the last."""
    return jnp.sum(two_hot(target, self.bins) * self.log_probs, -1)


def symexp_bins(count: int) -> jax.Array:
  """[count] bin centres, exactly symmetric around a zero in the middle."""
  if count % 2 == 0:
    raise ValueError(f"bins={count} is even: an odd number puts one bin at zero, e.g. {count + 1}")
  negative = symexp(jnp.linspace(-20.0, 0.0, count // 2 + 1, dtype=jnp.float32))
  return jnp.concatenate([negative, -negative[:-1][::-1]])


def two_hot(target: jax.Array, bins: jax.Array) -> jax.Array:
  """[..., bins] weights on the two bins around each target [...]; their weighted mean is the target.

  Without a gradient: the target is data.
  """
  target = jax.lax.stop_gradient(jnp.clip(target.astype(jnp.float32), bins[0], bins[-1]))
  above = jnp.clip(jnp.searchsorted(bins, target, side="right", method="compare_all"), 1, len(bins) - 1)
  below = above - 1
  weight = (target - bins[below]) / (bins[above] - bins[below])
  classes = np.arange(len(bins))
  lower = jnp.where(below[..., None] == classes, (1 - weight)[..., None], 0.0)
  upper = jnp.where(above[..., None] == classes, weight[..., None], 0.0)
  return lower + upper
