"""Defines the settings of a run and of its loop, and checks them before anything
happens."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
from jax.sharding import Mesh

from dreamerax import checks
from dreamerax.loggers.names import LoggerName, check_installed
from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint.metadata import RunState
from dreamerax.runtime.collect.remote import Actors
from dreamerax.runtime.context import RunContext
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.devices.mesh import MeshConfig, describe
from dreamerax.runtime.devices.sharding import check_batch_size
from dreamerax.runtime.protocol import Agent, MakeEnvs, State
from dreamerax.runtime.schedule import Schedule
from dreamerax.runtime.seeds import key, own_seed
from dreamerax.runtime.telemetry.progress import Progress

INIT, ACT, UPDATE, MODE = range(4)  # what keys are for
_PURPOSES = 4


@dataclass(frozen=True)
class LoopConfig:
  """Configuration of the loop: when things happen. An env step is a simulator step
  (action repeat included), an agent step one decision."""

  prefill_steps: int = 1024
  """Agent steps in replay before the first update, over all environments. One whole sequence is awaited in any case."""
  prefill_policy: Literal["agent", "random"] = "agent"
  """Who acts until then: the untrained (or, in a run that goes on, the restored) agent, or uniform chance."""
  log_every: float = 30.0
  """Seconds between lines of training metrics."""
  eval_every: int = 10_000
  """Env steps between evaluations; 0 evaluates at the end only."""
  eval_episodes: int = 10
  """Episodes of an evaluation; 0 never evaluates."""
  eval_max_steps: int = 30_000
  """Agent steps after which an episode of an evaluation is cut, and counts as it is; 0 sets no limit."""
  video_every: int = 50_000
  """Env steps between videos; 0 makes none."""
  checkpoint_minutes: float = 10.0
  """Minutes between checkpoints; there is one at the end, and at Ctrl-C or SIGTERM, in any case."""
  resume: Literal["exact", "keep"] = "exact"
  """exact: a restarted run goes back to its checkpoint, replay and environments too. keep: experience that was collected
  after it stays in the replay."""
  sync: bool = False
  """Nothing depends on the clock, and checkpoints hold the replay's latents: reruns and restarts are equal to the bit."""
  nonfinite: Literal["stop", "skip"] = "stop"
  """What follows an update that is not finite: the run ends and keeps its batch and state, or goes on without it. And what
  follows a number that is not finite in what an environment shows: the run is saved and ends, or the episode is cut short."""
  log: tuple[LoggerName, ...] = ()
  """Loggers that metrics and videos go to, beside metrics.jsonl and TensorBoard. See docs/runs.md."""
  profile: bool = False
  """Say where a step's time goes once training is under way, and write a trace of it to <logdir>/profile."""

  def __post_init__(self):
    counts = ("prefill_steps", "eval_every", "eval_episodes", "eval_max_steps", "video_every")
    checks.at_least(0, self, *counts, group="loop.")
    checks.more_than_zero(self, "log_every", "checkpoint_minutes", group="loop.")


@dataclass(frozen=True)
class RunSettings:
  """The settings of a run that a person decides, but for its parts."""

  loop: LoopConfig
  logdir: Path
  """The run directory."""
  env_steps: int
  """Length of the run, in which prefill and earlier parts count."""
  num_envs: int
  action_repeat: int
  seed: int
  task: str
  """For people only."""
  mesh: MeshConfig | None = None
  """Which devices learn and act; the replay gives whole batches, B sequences, or this host's rows of them."""


@dataclass(frozen=True)
class Parts:
  """The parts that a run is put together from; they are made for it, and of no use to
  another."""

  agent: Agent
  make_envs: MakeEnvs
  """Makes and seeds environments for collecting, and for evaluating where `make_eval_envs` is None; the run closes them."""
  replay: Replay
  """Empty, with one stream per environment; kept on disk in the run directory."""
  schedule: Schedule
  """Before its first call."""
  initial: Callable[[State], State] = lambda state: state
  """Changes the state that a run begins with; not called where one goes on."""
  remote: Callable[[int, int], Actors] | None = None
  """Makes actors that collect elsewhere, (number of environments, seed); None: everything happens here."""
  make_eval_envs: MakeEnvs | None = None
  """Makes and seeds environments for evaluating, where they differ from those that are trained in."""


@dataclass(frozen=True)
class RunStart:
  """The arguments of `train_run`, and what follows from them."""

  parts: Parts
  settings: RunSettings
  hosts: Hosts
  context: RunContext
  learners: Mesh
  actors: Mesh

  @property
  def own_seed(self) -> int:
    """The seed that this host's experience follows from."""
    return own_seed(self.settings.seed, self.hosts.index)

  def key(self, purpose: int) -> jax.Array:
    """Returns the key for a purpose: the same on all hosts, but for that of actions."""
    seed = self.own_seed if purpose == ACT else self.settings.seed
    return jax.random.split(key(seed), _PURPOSES)[purpose]

  def check(self) -> None:
    """
    Raises:
      ValueError: settings do not fit each other, or the devices.
    """
    replay, config, count = self.parts.replay, self.settings.loop, self.hosts.count
    check_installed(config.log)
    if config.sync and replay.config.max_disk_bytes == 0:
      raise ValueError("sync=True needs the replay on disk to restart from: leave replay.max_disk_bytes=0 out")
    check_batch_size(replay.config.batch_size * count, self.learners)
    if config.prefill_steps > replay.capacity * count:
      raise ValueError(
        f"loop.prefill_steps={config.prefill_steps} exceeds what the replay holds ({replay.capacity * count} steps): "
        "lower it, or raise replay.capacity or replay.max_bytes"
      )
    steps, repeat = self.settings.env_steps, self.settings.action_repeat
    if steps <= config.prefill_steps * repeat:
      raise ValueError(
        f"env_steps={steps} ends the run before its first update (loop.prefill_steps={config.prefill_steps} with "
        f"action repeat {repeat} are {config.prefill_steps * repeat} env steps): raise env_steps"
      )
    # Environments of one process or its workers step in turn. Actors need not, and whole episodes have any length.
    envs, steps_each = self.settings.num_envs * count, replay.config.sequence - 1  # and a reset
    needed = envs * steps_each * repeat
    if self.parts.remote is None and replay.config.draw == "uniform" and steps < needed:
      raise ValueError(
        f"env_steps={steps} ends the run before its first update ({envs} environments are to make {steps_each} steps each, "
        f"which with action repeat {repeat} are {needed} env steps): raise env_steps, or lower num_envs or replay.batch_length"
      )

  def check_continues(self, saved: RunState) -> None:
    """
    Raises:
      ValueError: what was saved in `logdir` is of a run with another seed.
    """
    if saved.seed != self.settings.seed:
      raise ValueError(
        f"seed={self.settings.seed}, and {self.settings.logdir} was begun with {saved.seed}: use that seed, or another --logdir"
      )

  def check_forgotten(self) -> None:
    """
    Raises:
      ValueError: restarts are to be equal to the bit, and the environments cannot be saved.
    """
    if self.settings.loop.sync:
      raise ValueError(
        f"sync=True: restarts would not be equal to the bit, as the environments of task={self.settings.task!r} cannot be "
        "saved: give them checkpoint() and restore(), or leave --sync out"
      )

  def introduce(self, progress: Progress, counters: Counters) -> None:
    """Says what will run, and from where on."""
    if self.hosts.count > 1:
      print(f"host {self.hosts.index} of {self.hosts.count}", flush=True)
    progress.say(describe(self.learners, self.actors))
    progress.say(f"task: {self.settings.task}")
    progress.say(f"parameters: {self.parts.agent.parameter_count():,}")
    each = ", on each host" if self.hosts.count > 1 else ""
    progress.say(f"{self.parts.replay.describe()}{each}")
    progress.say(f"logdir: {self.settings.logdir}")
    if counters.env_steps:
      progress.say(f"continuing at {counters.env_steps:,} env steps, {counters.updates:,} updates")
