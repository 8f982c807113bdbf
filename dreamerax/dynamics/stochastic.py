"""The stochastic half of a latent state: what its parameters mean, how it is sampled, compared and stored."""

import abc
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks
from dreamerax.ops import distributions
from dreamerax.ops.distributions import Distribution
from dreamerax.ops.factored_normal import FactoredNormal
from dreamerax.types import ArraySpec


@dataclass(frozen=True)
class Stochastic(abc.ABC):
  """A family of distributions over a flat vector of `size` numbers, given by `stats_size` numbers from a network."""

  @property
  @abc.abstractmethod
  def size(self) -> int:
    """Length of a sample as the networks see it."""

  @property
  @abc.abstractmethod
  def stats_size(self) -> int:
    """Length of the network output that parameterises the distribution."""

  @abc.abstractmethod
  def distribution(self, stats: jax.Array) -> Distribution:
    """stats [..., stats_size] -> distribution over one event per leading index."""

  @abc.abstractmethod
  def parameters(self, stats: jax.Array) -> jax.Array:
    """stats [..., stats_size] -> the distribution's own parameters [..., stats_size] in float32, for a network to read."""

  def sample(self, stats: jax.Array, key: jax.Array) -> jax.Array:
    """stats [..., stats_size] -> [..., size]; the sample carries a gradient into stats."""
    return self.distribution(stats).sample(seed=key).reshape(*stats.shape[:-1], self.size)

  def mean(self, stats: jax.Array) -> jax.Array:
    """stats [..., stats_size] -> the mean of the samples [..., size]; of one-hot variables, their probabilities."""
    return self.distribution(stats).mean().reshape(*stats.shape[:-1], self.size)

  def kl(self, stats: jax.Array, other: jax.Array) -> jax.Array:
    """KL(stats ‖ other) in nats, summed over the event: [...]."""
    return self.distribution(stats).kl_divergence(self.distribution(other))

  def entropy(self, stats: jax.Array) -> jax.Array:
    """Entropy in nats, summed over the event: [...]."""
    return self.distribution(stats).entropy()

  def log_prob(self, sample: jax.Array, stats: jax.Array) -> jax.Array:
    """Log-density [...] of a sample [..., size], or its log-probability, under statistics [..., stats_size]."""
    return self.distribution(stats).log_prob(sample)

  @property
  @abc.abstractmethod
  def stored_spec(self) -> ArraySpec:
    """The array of a sample in replay."""

  @abc.abstractmethod
  def pack(self, sample: jax.Array) -> jax.Array:
    """[..., size] -> what is stored, without loss."""

  @abc.abstractmethod
  def unpack(self, stored: jax.Array) -> jax.Array:
    """Converts what was stored to [..., size] float32."""


@dataclass(frozen=True)
class Categorical(Stochastic):
  """`groups` one-hot variables of `classes` classes with straight-through gradients (Hafner et al. 2021)."""

  groups: int = 32  # categorical variables
  classes: int = 32  # of each
  unimix: float = 0.01  # share of the uniform distribution mixed in

  def __post_init__(self):
    checks.at_least(1, self, "groups")
    checks.at_least(2, self, "classes")
    checks.between(0, 1, self, "unimix")
    if self.classes > 256:
      raise ValueError(f"classes={self.classes} exceeds 256, the most that one stored byte tells apart")

  @property
  def size(self) -> int:
    return self.groups * self.classes

  @property
  def stats_size(self) -> int:
    return self.groups * self.classes

  def distribution(self, stats: jax.Array) -> Distribution:
    return distributions.OneHot(self._split(stats), self.unimix, event_dims=1)

  def log_prob(self, sample: jax.Array, stats: jax.Array) -> jax.Array:
    return self.distribution(stats).log_prob(self._split(sample))

  def parameters(self, stats: jax.Array) -> jax.Array:
    """The probabilities."""
    return self.distribution(stats).mean().reshape(stats.shape)

  @property
  def stored_spec(self) -> ArraySpec:
    return ArraySpec((self.groups,), "uint8")

  def pack(self, sample: jax.Array) -> jax.Array:
    return jnp.argmax(self._split(sample), -1).astype(jnp.uint8)

  def unpack(self, stored: jax.Array) -> jax.Array:
    return jax.nn.one_hot(stored, self.classes).reshape(*stored.shape[:-1], self.size)

  def _split(self, x: jax.Array) -> jax.Array:
    return x.reshape(*x.shape[:-1], self.groups, self.classes)


@dataclass(frozen=True)
class _Real(Stochastic):
  """A state of `dims` real numbers, stored as they are."""

  dims: int = 30

  def __post_init__(self):
    checks.at_least(1, self, "dims")

  @property
  def size(self) -> int:
    return self.dims

  @property
  def stored_spec(self) -> ArraySpec:
    return ArraySpec((self.dims,), "float32")

  def pack(self, sample: jax.Array) -> jax.Array:
    return sample.astype(jnp.float32)

  def unpack(self, stored: jax.Array) -> jax.Array:
    return stored.astype(jnp.float32)


@dataclass(frozen=True)
class Gaussian(_Real):
  """A diagonal Gaussian with standard deviation softplus(raw) + min_std (Hafner et al. 2019)."""

  min_std: float = 0.1

  def __post_init__(self):
    super().__post_init__()
    checks.more_than_zero(self, "min_std")

  @property
  def stats_size(self) -> int:
    return 2 * self.dims

  def distribution(self, stats: jax.Array) -> Distribution:
    return distributions.normal(*self._mean_and_std(stats))

  def parameters(self, stats: jax.Array) -> jax.Array:
    """Mean and standard deviation."""
    return jnp.concatenate(self._mean_and_std(stats), -1)

  def _mean_and_std(self, stats: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean, raw = jnp.split(stats.astype(jnp.float32), 2, -1)
    return mean, jax.nn.softplus(raw) + self.min_std


@dataclass(frozen=True)
class Deterministic(_Real):
  """No randomness: a point, compared with another as the means of Gaussians of unit variance, by half the squared distance.

  With it a state-space model becomes a plain recurrent network that observations correct: the deterministic ablation of
  Hafner et al. 2019, whose code offers samples replaced by their means, but with a learned deviation in the divergence.
  """

  @property
  def stats_size(self) -> int:
    return self.dims

  def distribution(self, stats: jax.Array) -> Distribution:
    """The Gaussian by which points are compared."""
    return distributions.normal(stats, jnp.ones_like(stats))

  def parameters(self, stats: jax.Array) -> jax.Array:
    """The point."""
    return stats.astype(jnp.float32)

  def sample(self, stats: jax.Array, key: jax.Array) -> jax.Array:
    """The point itself, whatever the key."""
    return stats.astype(jnp.float32)

  def entropy(self, stats: jax.Array) -> jax.Array:
    """Zero: there is one outcome."""
    return jnp.zeros(stats.shape[:-1])


@dataclass(frozen=True)
class FactoredGaussian(_Real):
  """A Gaussian with any covariance L L^T, kept as its mean and L - I: statistics of zeros are N(0, I)."""

  @property
  def stats_size(self) -> int:
    return self.dims + self.dims**2

  def stats(self, mean: jax.Array, factor: jax.Array) -> jax.Array:
    """mean [..., n], L [..., n, n] -> [..., stats_size]."""
    rest = factor - jnp.eye(self.dims, dtype=factor.dtype)
    return jnp.concatenate([mean, rest.reshape(*mean.shape[:-1], -1)], -1)

  def mean_and_factor(self, stats: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The inverse of `stats`: mean [..., n], L [..., n, n]."""
    rest = stats[..., self.dims :].reshape(*stats.shape[:-1], self.dims, self.dims)
    return stats[..., : self.dims], rest + jnp.eye(self.dims, dtype=stats.dtype)

  def distribution(self, stats: jax.Array) -> Distribution:
    return FactoredNormal(*self.mean_and_factor(stats.astype(jnp.float32)))

  def parameters(self, stats: jax.Array) -> jax.Array:
    """Mean and L."""
    mean, factor = self.mean_and_factor(stats.astype(jnp.float32))
    return jnp.concatenate([mean, factor.reshape(*mean.shape[:-1], -1)], -1)
