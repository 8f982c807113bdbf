"""Mixtures of inputs and of their labels, which keep a classifier from being sure between them (Zhang et al. 2018)."""

import jax
import jax.numpy as jnp


def mixup(examples: jax.Array, others: jax.Array, largest: float, key: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Examples, labelled 1, and others, labelled 0, each mixed with another one of both, which is drawn without replacement.

  Args:
    examples, others: [N, ...] and [M, ...] float.
    largest: share of the other one at most, in [0, 1]; all shares up to it are equally likely.

  Returns:
    Mixtures [N + M, ...], and their labels [N + M], mixed in the same shares.
  """
  inputs = jnp.concatenate([examples, others])
  labels = jnp.concatenate([jnp.ones(len(examples)), jnp.zeros(len(others))])
  share_key, other_key = jax.random.split(key)
  share = largest * jax.random.uniform(share_key, labels.shape)
  other = jax.random.permutation(other_key, len(labels))
  shares = share.reshape(-1, *[1] * (inputs.ndim - 1))
  return (1 - shares) * inputs + shares * inputs[other], (1 - share) * labels + share * labels[other]
