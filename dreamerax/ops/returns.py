"""λ-returns along the last axis."""

import chex
import jax
import jax.numpy as jnp


def lambda_return(reward: jax.Array, discount: jax.Array, value: jax.Array, lambda_: jax.Array | float) -> jax.Array:
  """R_t = r_{t+1} + d_{t+1} [(1 - λ_{t+1}) v_{t+1} + λ_{t+1} R_{t+1}], with R at the end replaced by the last value.

  The recursion of Schulman et al. 2016 as Dreamer writes it (Hafner et al. 2023, Eq. 6). λ = 0 is one-step TD, λ = 1 is the
  discounted Monte Carlo return with a bootstrap.

  Args:
    reward: [..., T] rewards, reward[t] arriving with state t (so reward[0] is not used).
    discount: [..., T] probability of going on at state t, the discount factor included (discount[0] is not used).
    value: [..., T] value of state t (value[0] is not used).
    lambda_: λ, a number or [..., T]; where it is 0 the return is cut and bootstraps from the value.

  Returns:
    [..., T - 1] returns of the states 0 … T - 2.
  """
  chex.assert_equal_shape((reward, discount, value))
  lambda_ = jnp.broadcast_to(jnp.asarray(lambda_, value.dtype), value.shape)
  interim = reward + discount * (1 - lambda_) * value  # [..., T]
  decay = discount * lambda_  # [..., T]

  # Each step is a linear function of the return after it; composed in pairs they need no loop over time, which takes a
  # launch or three for each of its steps on an accelerator.
  def composed(later: tuple[jax.Array, jax.Array], step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    return step[0] + step[1] * later[0], step[1] * later[1]

  constant, factor = jax.lax.associative_scan(
    composed, (interim[..., 1:], decay[..., 1:]), reverse=True, axis=value.ndim - 1
  )
  return constant + factor * value[..., -1:]


def arrival_lambda_return(
  reward: jax.Array, discount: jax.Array, value: jax.Array, lambda_: jax.Array | float
) -> jax.Array:
  """R_t = r_t + d_t [(1 - λ) v_{t+1} + λ R_{t+1}]: Dreamer v1's and v2's, in which a value counts the reward of its own state.

  Args:
    reward, discount, value: [..., T], of states 0 … T - 1; the last reward and discount are not used.
    lambda_: λ.

  Returns:
    [..., T - 1] returns of the states 0 … T - 2.
  """

  def delayed(x: jax.Array) -> jax.Array:
    return jnp.concatenate([x[..., :1], x[..., :-1]], -1)

  return lambda_return(delayed(reward), delayed(discount), value, lambda_)
