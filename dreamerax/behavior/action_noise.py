"""Adds noise to actions that explore."""

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.ops.distributions import uniform_choices
from dreamerax.types import ActionSpec


def with_noise(action: jax.Array, amount: float, spec: ActionSpec, key: jax.Array) -> jax.Array:
  """Gaussian noise on continuous actions [E, A]; now and then any choice in a group of discrete ones instead.

  Args:
    amount: deviation of the noise; for discrete actions the probability of any choice, in each group by itself.
  """
  noise_key, choice_key = jax.random.split(key)
  if not spec.discrete:
    return jnp.clip(action + amount * jax.random.normal(noise_key, action.shape), -1, 1)
  count, groups = len(action), np.array(spec.groups)
  anything = uniform_choices(choice_key, spec, count)
  chosen = jax.random.bernoulli(noise_key, amount, (count, len(groups)))
  return jnp.where(jnp.repeat(chosen, groups, 1, total_repeat_length=action.shape[1]), anything, action)
