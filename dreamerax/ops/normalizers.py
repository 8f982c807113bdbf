"""Running statistics that keep a loss at one scale."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from dreamerax import checks


@dataclass(frozen=True)
class PercentileScale:
  """Divides by max(limit, P_high - P_low) of a running percentile range, so that small returns are not blown up.

  Return normalisation of DreamerV3 (Hafner et al. 2023, Eq. 7): exponential averages started at zero and not debiased.
  """

  rate: float = 0.01  # of the averages, per update
  limit: float = 1.0  # smallest divisor
  low: float = 5.0  # percentile
  high: float = 95.0  # percentile

  def __post_init__(self):
    checks.between(0, 1, self, "rate")
    checks.more_than_zero(self, "limit")
    checks.between(0, 100, self, "high")
    checks.between(0, self.high, self, "low")

  def init(self) -> dict[str, jax.Array]:
    """State before any value was seen."""
    return {"low": jnp.zeros(()), "high": jnp.zeros(())}

  def update(self, state: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
    """Moves the averages towards the percentiles of `x` (any shape)."""
    x = jax.lax.stop_gradient(x.astype(jnp.float32))
    low, high = jnp.percentile(x, jnp.array([self.low, self.high]))
    return {
      "low": (1 - self.rate) * state["low"] + self.rate * low,
      "high": (1 - self.rate) * state["high"] + self.rate * high,
    }

  def scale(self, state: dict[str, jax.Array]) -> jax.Array:
    """The scalar to divide by."""
    return jnp.maximum(self.limit, state["high"] - state["low"])
