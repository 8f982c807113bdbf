"""Mixtures of inputs and of their labels, which keep a classifier from being sure between them (Zhang et al. 2018)."""

import jax
import jax.numpy as jnp


def mixup(inputs: jax.Array, labels: jax.Array, largest: float, key: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Each of N inputs mixed with another one, drawn without replacement, and its label with that one's.

  Args:
    inputs: [N, ...] float.
    labels: [N].
    largest: share of the other input at most, in [0, 1]; all shares up to it are equally likely.

  Returns:
    Inputs [N, ...] and labels [N].
  """
  share_key, other_key = jax.random.split(key)
  share = largest * jax.random.uniform(share_key, labels.shape)
  other = jax.random.permutation(other_key, len(labels))
  shares = share.reshape(-1, *[1] * (inputs.ndim - 1))
  return (1 - shares) * inputs + shares * inputs[other], (1 - share) * labels + share * labels[other]


def told_apart(examples: jax.Array, others: jax.Array, largest: float, key: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Examples [N, ...] with the label 1 and others [M, ...] with 0, mixed with each other: [N + M, ...] and [N + M]."""
  labels = jnp.concatenate([jnp.ones(len(examples)), jnp.zeros(len(others))])
  return mixup(jnp.concatenate([examples, others]), labels, largest, key)
