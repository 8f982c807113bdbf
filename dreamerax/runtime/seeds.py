"""What is seeded with what: by the run's seed, the host, the purpose, and how far the run is."""

import numpy as np

COLLECT, EVALUATE, PREFILL = 0, 1, 2  # what environments, and the random policy, are seeded for


def environment_seed(seed: int, purpose: int, env_steps: int) -> int:
  """A seed for environments that depends on the run's and on how far the run is."""
  return int(np.random.SeedSequence([seed, purpose, env_steps]).generate_state(1)[0])


def own_seed(seed: int, host: int) -> int:
  """What a host seeds its environments, actions and replay with: the run's seed on host 0, another on each other."""
  return int(np.random.SeedSequence([seed, host]).generate_state(1)[0]) if host else seed
