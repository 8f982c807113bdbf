"""Derives seeds from the run's seed, the host, the purpose, and how far the run is.

A seed has 64 bits. What follows from one below 2**32 is what follows from it where seeds have 32 bits: a run is repeated to
the bit by versions that know no others.
"""

import jax
import numpy as np

COLLECT, EVALUATE, PREFILL = 0, 1, 2  # what environments, and the random policy, are seeded for
_WORD, _SEEDS = 2**32, 2**64


def check_seed(seed: int) -> None:
  """
  Raises:
    ValueError: a seed does not lie in [0, 2**64).
  """
  if seed < 0:
    raise ValueError(f"seed={seed} must not be negative")
  if seed >= _SEEDS:
    raise ValueError(f"seed={seed} must be less than 2**64 = {_SEEDS}")


def key(seed: int) -> jax.Array:
  """JAX's key for a seed; another for each. `jax.random.key` alone takes the lower 32 bits, unless jax computes in 64."""
  if seed < _WORD:
    return jax.random.key(seed)
  with jax.enable_x64(True):
    return jax.random.key(np.uint64(seed))


def sequence(seed: int, *what: int) -> np.random.SeedSequence:
  """Makes the seed sequence that numbers for a purpose follow from.

  NumPy joins the words of all numbers in a list, so that [2**32, x] and [0, 1, x] are one; a spawn key stays apart.
  """
  if seed < _WORD:
    return np.random.SeedSequence([seed, *what])
  return np.random.SeedSequence(seed, spawn_key=what)


def environment_seed(seed: int, purpose: int, env_steps: int) -> int:
  """A seed for environments that depends on the run's and on how far the run is."""
  return _number(seed, purpose, env_steps)


def actor_seed(seed: int, actor: int, starts: int) -> int:
  """Derives the seed of an actor's environments and actions, when it was started
  `starts` times before."""
  return _number(seed, actor, starts)


def own_seed(seed: int, host: int) -> int:
  """Derives the seed of a host's environments, actions and replay: the run's seed on
  host 0, another on each other."""
  return _number(seed, host) if host else seed


def _number(seed: int, *what: int) -> int:
  """Draws a number of as many bits as the seed has, 32 or 64."""
  return int(sequence(seed, *what).generate_state(1, np.uint32 if seed < _WORD else np.uint64)[0])
