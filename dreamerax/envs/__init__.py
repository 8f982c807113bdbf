"""Environments by name, one at a time or many at once. NumPy only: nothing here imports jax.

A task's prefix names its suite: see `suites.registry`. `package.module:factory` is a user's own.
"""

from dreamerax.envs.base import EnvBatch, Environment, EpisodeSoFar, Step
from dreamerax.envs.check import check_env
from dreamerax.envs.config import EnvConfig, WorkerConfig
from dreamerax.envs.factory import check_task, examine, look_at, make, make_batch, task_names
from dreamerax.envs.faults import EnvironmentFault
from dreamerax.envs.suites.registry import check_applies

__all__ = [
  "EnvBatch",
  "EnvConfig",
  "Environment",
  "EnvironmentFault",
  "EpisodeSoFar",
  "Step",
  "WorkerConfig",
  "check_applies",
  "check_env",
  "check_task",
  "examine",
  "look_at",
  "make",
  "make_batch",
  "task_names",
]
