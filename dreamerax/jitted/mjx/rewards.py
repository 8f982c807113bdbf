"""The rewards' building block, as `dm_control.utils.rewards` defines it."""

import math

import jax
import jax.numpy as jnp


def tolerance(
  x: jax.Array, bounds: tuple[float, float] = (0, 0), margin: float = 0, shape: str = "gaussian", at_margin: float = 0.1
) -> jax.Array:
  """1 within `bounds`, and less outside of them, like `x`.

  Args:
    margin: distance from the bounds where it is `at_margin`; 0: it is 0 outside of them.
    shape: gaussian, linear or quadratic, as it falls.
  """
  low, high = bounds
  within = (low <= x) & (x <= high)
  if not margin:
    return within.astype(jnp.float32)
  far = jnp.where(x < low, low - x, x - high) / margin
  return jnp.where(within, 1, _falling(far, shape, at_margin))


def _falling(far: jax.Array, shape: str, at_one: float) -> jax.Array:
  if shape == "gaussian":
    return jnp.exp(math.log(at_one) * far**2)
  fallen = {"linear": (1 - at_one) * far, "quadratic": (1 - at_one) * far**2}[shape]
  return jnp.maximum(1 - fallen, 0)
