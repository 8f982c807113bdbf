"""Distributions over what heads and dynamics predict; the one file that imports distrax and tensorflow_probability."""

import itertools
from collections.abc import Callable
from typing import Any, Protocol, cast

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from tensorflow_probability.substrates import jax as tfp

from dreamerax.ops.transforms import symexp
from dreamerax.types import ActionSpec


class Policy(Protocol):
  """The methods of a distribution over actions that are used."""

  def sample(self, *, seed: jax.Array) -> jax.Array: ...
  def mode(self) -> jax.Array: ...
  def log_prob(self, value: jax.Array) -> jax.Array: ...
  def entropy(self) -> jax.Array: ...


class Prediction(Protocol):
  """The methods of a distribution over scalars that are used."""

  def mean(self) -> jax.Array: ...
  def log_prob(self, value: jax.Array) -> jax.Array: ...


class Distribution(Policy, Prediction, Protocol):
  """The methods of a distrax distribution that the rest of the package uses."""

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


class OneHot:
  """One-hot categoricals with straight-through gradients of their samples (Bengio et al. 2013), in float32.

  Its log-probabilities are taken as they are, which distrax would normalise once more, and again for probabilities: in a
  sequence computed step by step, where every small loop counts, that is most of a sample's time.
  """

  def __init__(self, logits: jax.Array, unimix: float = 0.0, event_dims: int = 0):
    """
    Args:
      logits: [..., C]; with event_dims = 1, [..., S, C] holds S independent categoricals forming one event.
      unimix: share of the uniform distribution mixed in.
      event_dims: leading axes of an event beside the classes.
    """
    self._log_probs = mix_uniform(logits, unimix)
    self._event = tuple(range(-1 - event_dims, 0))

  def sample(self, *, seed: jax.Array) -> jax.Array:
    """[..., C] with the gradient of the probabilities."""
    noise = jax.random.gumbel(seed, self._log_probs.shape, self._log_probs.dtype)
    return self._largest(noise + self._log_probs) + _zero_with_gradient(self.mean())

  def mode(self) -> jax.Array:
    """[..., C], the most probable classes."""
    return self._largest(self._log_probs)

  def log_prob(self, value: jax.Array) -> jax.Array:
    """[...] of one-hot values [..., C]."""
    return (value * self._log_probs).sum(self._event)

  def entropy(self) -> jax.Array:
    """[...] in nats."""
    return -(self.mean() * self._log_probs).sum(self._event)

  def kl_divergence(self, other: "OneHot") -> jax.Array:
    """KL(self ‖ other) [...] in nats."""
    return (self.mean() * (self._log_probs - other._log_probs)).sum(self._event)

  def mean(self) -> jax.Array:
    """[..., C] probabilities."""
    return jnp.exp(self._log_probs)

  def _largest(self, scores: jax.Array) -> jax.Array:
    """One-hot vectors [..., C] of the classes with the largest scores [..., C]."""
    return _one_hot(scores)


class OneHotGroups(OneHot):
  """A policy over discrete actions: independent one-hot categoricals, one for each of the action's groups, concatenated.

  The probability of an action is the product of its choices'. So log-probabilities and entropies are sums over the groups,
  as DreamerV3's code sums them over the parts of an action; unimix holds within each group.
  """

  def __init__(self, logits: jax.Array, action: ActionSpec, unimix: float = 0.0):
    """
    Args:
      logits: [..., A].
      action: discrete.
      unimix: share of the uniform distribution mixed into each group.
    """
    self._action = action
    self._log_probs = _in_each_group(lambda part: mix_uniform(part, unimix), logits, action)
    self._event = (-1,)

  def _largest(self, scores: jax.Array) -> jax.Array:
    return _in_each_group(_one_hot, scores, self._action)


def uniform_choices(key: jax.Array, action: ActionSpec, count: int) -> jax.Array:
  """Uniform discrete actions [count, A]."""
  classes = jax.random.randint(key, (count, len(action.groups)), 0, jnp.array(action.groups))  # [B, groups]
  drawn = jnp.repeat(classes, np.array(action.groups), 1, total_repeat_length=action.size)
  return (drawn == np.concatenate([np.arange(size) for size in action.groups])).astype(jnp.float32)


def _in_each_group(function: Callable[[jax.Array], jax.Array], x: jax.Array, action: ActionSpec) -> jax.Array:
  """`function`, [..., n] -> [..., n], of the entries of each group, concatenated: [..., A] -> [..., A].

  Neighbours of one size are computed as one array [..., groups, n], which compiles as fast as one does.
  """
  parts, start = [], 0
  for size, alike in itertools.groupby(action.groups):
    count = len(list(alike))
    part = x[..., start : start + count * size]
    stacked = part.reshape(*x.shape[:-1], count, size) if count > 1 else part
    parts.append(function(stacked).reshape(part.shape))
    start += count * size
  return jnp.concatenate(parts, -1)


def _one_hot(scores: jax.Array) -> jax.Array:
  return jax.nn.one_hot(scores.argmax(-1), scores.shape[-1], dtype=jnp.float32)


def normal(mean: jax.Array, std: jax.Array) -> Distribution:
  """Diagonal Gaussian over the last axis, in float32. Samples carry gradients (reparameterised)."""
  dist = distrax.Normal(mean.astype(jnp.float32), std.astype(jnp.float32))
  return cast(Distribution, distrax.Independent(dist, 1))


def scalar_normal(mean: jax.Array) -> Distribution:
  """Gaussian of unit variance over scalars, mean [...], in float32: half the squared error and a constant."""
  return cast(Distribution, distrax.Normal(mean.astype(jnp.float32), 1.0))


def bernoulli(logits: jax.Array) -> Distribution:
  """Bernoulli whose log_prob takes soft targets in [0, 1] too, where it is the cross-entropy."""
  return cast(Distribution, distrax.Bernoulli(logits=logits.astype(jnp.float32)))


class TanhNormal:
  """Dreamer v1's policy (Hafner et al. 2020): tanh of a diagonal Gaussian over the last axis, in float32.

  Mode and entropy have no closed form. As published, they are read off 100 samples; here these are drawn with a fixed key,
  so that the same parameters always give the same answer.
  """

  _SAMPLES = 100
  _LARGEST = 1 - 2.0**-24  # of the float32 below 1: the inverse of tanh stays finite

  def __init__(self, mean: jax.Array, std: jax.Array):
    """mean, std: [..., A] of the Gaussian."""
    self._normal: Any = normal(mean, std)

  def sample(self, *, seed: jax.Array) -> jax.Array:
    """[..., A] with a gradient into mean and std."""
    return jnp.tanh(self._normal.sample(seed=seed))

  def log_prob(self, value: jax.Array) -> jax.Array:
    """[...] density of actions [..., A]; those at ±1 count as the nearest float32 within."""
    return self._log_density(jnp.arctanh(jnp.clip(value, -self._LARGEST, self._LARGEST)))

  def mode(self) -> jax.Array:
    """[..., A] the most probable of the samples."""
    raw = self._raw_samples()
    best = self._log_density(raw).argmax(0)  # [...]
    return jnp.tanh(jnp.take_along_axis(raw, best[None, ..., None], 0)[0])

  def entropy(self) -> jax.Array:
    """[...] in nats, estimated from the samples."""
    return -self._log_density(self._raw_samples()).mean(0)

  def _raw_samples(self) -> jax.Array:
    return self._normal.sample(seed=jax.random.key(0), sample_shape=(self._SAMPLES,))  # [100, ..., A]

  def _log_density(self, raw: jax.Array) -> jax.Array:
    """The log density of tanh(raw): log(1 - tanh²) written so that it neither overflows nor loses digits for large |raw|."""
    slope = 2 * (np.log(2) - raw - jax.nn.softplus(-2 * raw))
    return self._normal.log_prob(raw) - slope.sum(-1)


class TruncatedNormal:
  """Dreamer v2's policy (Hafner et al. 2021): a diagonal Gaussian over the last axis, cut off at both ends, in float32."""

  _MARGIN = 1e-6  # samples keep this distance from the ends

  def __init__(self, mean: jax.Array, std: jax.Array, low: float, high: float):
    """mean, std: [..., A] of the Gaussian before it is cut off; the mean lies within [low, high]."""
    self._mean, self._std, self._low, self._high = mean.astype(jnp.float32), std.astype(jnp.float32), low, high
    self._dist: Any = tfp.distributions.TruncatedNormal(self._mean, self._std, low, high)

  def sample(self, *, seed: jax.Array) -> jax.Array:
    """[..., A] with the gradient of a Gaussian's sample into mean and std: 1 and (sample - mean) / std.

    As in the published code, whose TensorFlow sampler moves the ends along with the mean, and which passes it through the
    clipping. With the ends held, where they are, the mean's would be a quarter of that for an untrained policy (mean 0,
    deviation 1.1).
    """
    drawn = jax.lax.stop_gradient(self._dist.sample(seed=seed))
    value = jnp.clip(drawn, self._low + self._MARGIN, self._high - self._MARGIN)
    deviations = jax.lax.stop_gradient((drawn - self._mean) / self._std)
    return value + _zero_with_gradient(self._mean) + deviations * _zero_with_gradient(self._std)

  def log_prob(self, value: jax.Array) -> jax.Array:
    """[...] density of actions [..., A]; -inf beyond the ends."""
    return self._dist.log_prob(value).sum(-1)

  def mode(self) -> jax.Array:
    """[..., A] the Gaussian's mean, or the nearest end."""
    return self._dist.mode()

  def entropy(self) -> jax.Array:
    """[...] in nats."""
    return self._dist.entropy().sum(-1)


def _zero_with_gradient(x: jax.Array) -> jax.Array:
  return x - jax.lax.stop_gradient(x)


class SymexpTwoHot:
  """A scalar as a categorical over exponentially spaced bins, trained by the two-hot cross-entropy.

  Hafner et al. 2023, Eq. 10-11. Bins lie at symexp of `bins` points spread evenly over [-limit, limit]; both the weights of
  the two bins around a target and the mean are taken in raw, not in symlog, space.
  """

  def __init__(self, logits: jax.Array, limit: float = 20.0):
    """logits: [..., bins], an odd number of bins. limit: symlog of the outermost bin."""
    self.logits = logits.astype(jnp.float32)
    self.log_normalizer = jax.nn.logsumexp(self.logits, -1)
    self.bins = symexp_bins(logits.shape[-1], limit)

  def mean(self) -> jax.Array:
    """[...] expectation; uniform probabilities give exactly zero.

    Probabilities of opposite bins are subtracted before they meet their bin: the difference of their products is not zero
    where a compiler fuses one of them into a multiply-add, and the outermost bins make 0.16 of that rounding.
    """
    half = self.bins.shape[-1] // 2
    probs = jnp.exp(self.logits - self.log_normalizer[..., None])
    return jnp.sum((probs[..., half + 1 :] - probs[..., :half][..., ::-1]) * self.bins[half + 1 :], -1)

  def log_prob(self, target: jax.Array) -> jax.Array:
    """[...] cross-entropy (negated) against the two-hot encoding of target [...]; targets beyond the bins go to the last."""
    return jnp.sum(two_hot(target, self.bins) * self.logits, -1) - self.log_normalizer


def symexp_bins(count: int, limit: float = 20.0) -> jax.Array:
  """[count] bin centres from -symexp(limit) to symexp(limit), exactly symmetric around a zero in the middle."""
  if count % 2 == 0:
    raise ValueError(f"bins={count} is even: an odd number puts one bin at zero, e.g. {count + 1}")
  negative = symexp(jnp.linspace(-limit, 0.0, count // 2 + 1, dtype=jnp.float32))
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
