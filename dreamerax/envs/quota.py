"""Divides a number of episodes among several environments."""

import numpy as np


def episodes_each(episodes: int, num_envs: int) -> np.ndarray:
  """[E]: `episodes` dealt out to `num_envs` environments, or to as many as equally many rounds keep busy.

  Settled before anything is played, so that short episodes are not favoured.

  Raises:
    ValueError: episodes or num_envs is less than 1.
  """
  if episodes < 1 or num_envs < 1:
    raise ValueError(f"episodes={episodes} and num_envs={num_envs} must be at least 1")
  rounds = -(-episodes // num_envs)
  count = -(-episodes // rounds)
  quota = np.full(count, episodes // count)
  quota[: episodes % count] += 1
  return quota
