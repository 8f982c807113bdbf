"""Defines the counters of a run."""

from typing import NamedTuple


class Counters(NamedTuple):
  """Counts of a run, over all environments and over restarts."""

  env_steps: int = 0  # simulator steps, action repeat included
  agent_steps: int = 0  # decisions; the rows that begin an episode are none
  updates: int = 0
