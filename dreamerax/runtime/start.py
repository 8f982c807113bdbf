"""What a run is started with: its parts and settings, checked against each other before anything happens."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh

from dreamerax.loggers.names import check_installed
from dreamerax.replay import Replay
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.hosts import Hosts
from dreamerax.runtime.loop_config import LoopConfig
from dreamerax.runtime.mesh import describe
from dreamerax.runtime.progress import Progress
from dreamerax.runtime.protocol import Agent, MakeEnvs, State
from dreamerax.runtime.remote import Actors
from dreamerax.runtime.saved import Saved
from dreamerax.runtime.schedule import Schedule
from dreamerax.runtime.seeds import key, own_seed
from dreamerax.runtime.sharding import check_batch_size
from dreamerax.runtime.together import Company

INIT, ACT, UPDATE, MODE = range(4)  # what keys are for
_PURPOSES = 4


@dataclass(frozen=True)
class Start:
  """What `loop.train` was given, and what follows from it."""

  agent: Agent
  make_envs: MakeEnvs
  replay: Replay
  schedule: Schedule
  config: LoopConfig
  logdir: Path
  env_steps: int
  num_envs: int
  action_repeat: int
  seed: int
  task: str
  learners: Mesh
  actors: Mesh
  hosts: Hosts
  initial: Callable[[State], State]
  company: Company
  remote: Callable[[int, int], Actors] | None

  @property
  def own_seed(self) -> int:
    """What this host's experience follows from."""
    return own_seed(self.seed, self.hosts.index)

  def key(self, purpose: int) -> jax.Array:
    """The same on all hosts, but for that of actions."""
    seed = self.own_seed if purpose == ACT else self.seed
    return jax.random.split(key(seed), _PURPOSES)[purpose]

  def check(self) -> None:
    """
    Raises:
      ValueError: settings do not fit each other, or the devices.
    """
    replay, config, count = self.replay, self.config, self.hosts.count
    check_installed(config.log)
    if config.sync and replay.config.max_disk_bytes == 0:
      raise ValueError("sync=True needs the replay on disk to restart from: leave replay.max_disk_bytes=0 out")
    check_batch_size(replay.config.batch_size * count, self.learners)
    if config.prefill_steps > replay.capacity * count:
      raise ValueError(
        f"loop.prefill_steps={config.prefill_steps} exceeds what the replay holds ({replay.capacity * count} steps): "
        "lower it, or raise replay.capacity or replay.max_bytes"
      )
    if self.env_steps <= config.prefill_steps * self.action_repeat:
      raise ValueError(
        f"env_steps={self.env_steps} ends the run before its first update (loop.prefill_steps={config.prefill_steps} with "
        f"action repeat {self.action_repeat} are {config.prefill_steps * self.action_repeat} env steps): raise env_steps"
      )

  def check_continues(self, saved: Saved) -> None:
    """
    Raises:
      ValueError: what was saved in `logdir` is of a run with another seed.
    """
    if saved.seed != self.seed:
      raise ValueError(
        f"seed={self.seed}, and {self.logdir} was begun with {saved.seed}: use that seed, or another --logdir"
      )

  def introduce(self, progress: Progress, counters: Counters) -> None:
    """Says what will run, and from where on."""
    if self.hosts.count > 1:
      print(f"host {self.hosts.index} of {self.hosts.count}", flush=True)
    progress.say(describe(self.learners, self.actors))
    progress.say(f"task: {self.task}")
    progress.say(f"parameters: {self.agent.parameter_count():,}")
    each = ", on each host" if self.hosts.count > 1 else ""
    progress.say(f"{self.replay.describe()}{each}")
    progress.say(f"logdir: {self.logdir}")
    if counters.env_steps:
      progress.say(f"continuing at {counters.env_steps:,} env steps, {counters.updates:,} updates")
