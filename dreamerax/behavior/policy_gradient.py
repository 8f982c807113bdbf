"""Estimators of the policy gradient in imagination."""

import abc
from dataclasses import dataclass

import jax

from dreamerax import checks
from dreamerax.ops.distributions import Policy


@dataclass(frozen=True)
class PolicyGradient(abc.ABC):
  """Configuration of the actor's training: how imagined actions are drawn, and what is
  minimised."""

  @abc.abstractmethod
  def act(self, policy: Policy, key: jax.Array) -> jax.Array:
    """Actions [N, A] for imagination, with or without a gradient into the policy."""

  @abc.abstractmethod
  def loss(self, policy: Policy, actions: jax.Array, returns: jax.Array, values: jax.Array) -> jax.Array:
    """[N, H] loss to minimise.

    Args:
      policy: distribution at the imagined states. actions: [N, H, A] taken there.
      returns: [N, H] normalised λ-returns; they carry the gradient that `act` let through.
      values: [N, H] normalised values of the same states, a baseline without gradient.
    """


@dataclass(frozen=True)
class Reinforce(PolicyGradient):
  """Likelihood-ratio gradient with the value as baseline (Williams 1992); DreamerV3 uses it for every kind of action."""

  def act(self, policy: Policy, key: jax.Array) -> jax.Array:
    return jax.lax.stop_gradient(policy.sample(seed=key))

  def loss(self, policy: Policy, actions: jax.Array, returns: jax.Array, values: jax.Array) -> jax.Array:
    return -policy.log_prob(actions) * jax.lax.stop_gradient(returns - values)


@dataclass(frozen=True)
class Pathwise(PolicyGradient):
  """Gradient of the return through the learned dynamics; Dreamer v1 and v2 use it for continuous actions.

  Reparameterised samples for Gaussians (Hafner et al. 2020, Eq. 7), straight-through ones for categoricals.
  """

  def act(self, policy: Policy, key: jax.Array) -> jax.Array:
    return policy.sample(seed=key)

  def loss(self, policy: Policy, actions: jax.Array, returns: jax.Array, values: jax.Array) -> jax.Array:
    return -returns


@dataclass(frozen=True)
class Mixed(PolicyGradient):
  """A weighted sum of `Pathwise` and `Reinforce` (Hafner et al. 2021, Eq. 6)."""

  pathwise: float = 0.1  # share of the gradient through the dynamics

  def __post_init__(self):
    checks.between(0, 1, self, "pathwise")

  def act(self, policy: Policy, key: jax.Array) -> jax.Array:
    return Pathwise().act(policy, key)

  def loss(self, policy: Policy, actions: jax.Array, returns: jax.Array, values: jax.Array) -> jax.Array:
    through, likelihood = (part.loss(policy, actions, returns, values) for part in (Pathwise(), Reinforce()))
    return self.pathwise * through + (1 - self.pathwise) * likelihood
