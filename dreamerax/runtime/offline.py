"""Trains on experience that is all there already: no environment, no policy, a replay that does not grow."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
from jax.sharding import Mesh

from dreamerax import checks
from dreamerax.loggers.names import LoggerName, check_installed
from dreamerax.replay import Replay
from dreamerax.runtime.checkpoint.metadata import ConfigFile, restoring
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.devices.mesh import MeshConfig, local_mesh
from dreamerax.runtime.devices.sharding import abstract_state, check_batch_size, init_state
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.learn.compilation import enable_cache
from dreamerax.runtime.learn.compile_times import Compiler
from dreamerax.runtime.learn.finite import Guard
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.learn.state_memory import check_fits
from dreamerax.runtime.learn.update import Programs
from dreamerax.runtime.protocol import Agent, Params, State
from dreamerax.runtime.seeds import key
from dreamerax.runtime.session import Session
from dreamerax.runtime.telemetry.progress import Display, Progress
from dreamerax.runtime.telemetry.timing import Interval

Evaluate = Callable[[Params, int], Mapping[str, float]]  # (parameters, updates that made them) -> what is logged


@dataclass(frozen=True)
class OfflineConfig:
  """Configuration of training on recorded experience: its length, and when things
  happen in it."""

  updates: int = 10_000
  """Length of the run."""
  eval_every: int = 1000
  """Updates between evaluations; 0 evaluates at the end only."""
  log_every: float = 30.0
  """Seconds between lines of training metrics."""
  checkpoint_minutes: float = 10.0
  """Minutes between checkpoints; there is one at the end, and at Ctrl-C or SIGTERM, in any case."""
  log: tuple[LoggerName, ...] = ()
  """Loggers that metrics go to, beside metrics.jsonl and TensorBoard. See docs/runs.md."""
  nonfinite: Literal["stop", "skip"] = "stop"
  """What follows an update that is not finite: the run ends and keeps its batch and state, or goes on without it."""

  def __post_init__(self):
    checks.at_least(1, self, "updates")
    checks.at_least(0, self, "eval_every")
    checks.more_than_zero(self, "log_every", "checkpoint_minutes")


class OfflineResult(NamedTuple):
  """The end of a run."""

  updates: int
  seconds: float  # since the run began, over restarts
  interrupted: bool  # by Ctrl-C or SIGTERM; saved


def train_offline(
  agent: Agent,
  replay: Replay,
  config: OfflineConfig,
  evaluate: Evaluate,
  *,
  logdir: Path,
  seed: int,
  mesh: MeshConfig | None = None,
  begin: Callable[[], ConfigFile] = ConfigFile,
) -> OfflineResult:
  """Makes `config.updates` updates, or continues a run that `logdir` holds; one that is complete is only evaluated.

  A continued run restores state, counters, the replay's latents and what it draws next: it makes the updates that it would have
  made. Metrics and checkpoints count updates as env steps, which there are none of.

  Args:
    replay: filled, with the same rows at every start.
    begin: writes the configuration; called once everything was checked, before the first update.

  Raises:
    ValueError: settings that do not fit the devices or the run in `logdir`, or another process trains there.
    Diverged: an update is not finite; earlier checkpoints are intact.
    NotSaved: the last checkpoint could not be written.
  """
  check_installed(config.log)
  enable_cache()
  learners, logdir = local_mesh(mesh), Path(logdir).absolute()
  check_batch_size(replay.config.batch_size, learners)
  init_key, update_key = jax.random.split(key(seed))
  with ExitStack() as stack:
    stop = stack.enter_context(StopSignals(run=True))
    display = stack.enter_context(Display())
    minutes = config.checkpoint_minutes
    session = Session(logdir, Hosts(), stop, seed=seed, unit="updates", checkpoint_minutes=minutes)
    stack.enter_context(session)
    shapes, skip = abstract_state(agent, learners), config.nonfinite == "skip"
    check_fits(shapes, learners)
    state, extra = session.restore(shapes)
    written, counters = begin(), session.saved.counters
    progress = Progress(config.updates, counters, display, eval_every=config.eval_every, unit="updates")
    programs = _make_programs(agent, shapes, replay, learners, progress, skip=skip)
    stack.callback(lambda: programs.close(wait=not stop.requested))
    if state is None:
      state = init_state(agent, learners, init_key)
    if extra:
      with restoring():
        replay.restore(extra["replay"])
      progress.say(f"continuing at {counters.updates:,} updates")
    learner = Learner(
      programs,
      replay,
      state=state,
      updates=counters.updates,
      key=update_key,
      guard=Guard(logdir / "nonfinite", skip=skip),
      extra=extra.get("learner"),
    )
    del state  # the learner's first update gives its memory away
    stack.enter_context(closing(learner))
    session.begin(written, config.log, progress)
    return _Run(config, learner, replay, evaluate, session).run()


def _make_programs(
  agent: Agent, shapes: State, replay: Replay, learners: Mesh, progress: Progress, *, skip: bool
) -> Programs:
  compiler = Compiler(progress.say)
  return Programs(
    agent,
    shapes,
    replay.batch_spec,
    learners,
    skip=skip,
    compile_update=compiler.compile,
    compiling=lambda: compiler.status,
  )


@dataclass
class _Run:
  """A run while it lasts."""

  config: OfflineConfig
  learner: Learner
  replay: Replay
  evaluate: Evaluate
  session: Session

  def __post_init__(self):
    self._eval = Interval(self.config.eval_every, self.learner.updates)
    self._log = Interval(self.config.log_every, 0)
    self._logged = (self.learner.updates, time.monotonic())

  def run(self) -> OfflineResult:
    interrupted = self.session.conclude(self._train_and_evaluate, self._checkpoint)
    return OfflineResult(self.learner.updates, self.session.seconds, interrupted)

  def _train_and_evaluate(self) -> None:
    self._train()
    self.learner.flush()
    self._log_training()
    self._evaluate()

  @property
  def _counters(self) -> Counters:
    return Counters(env_steps=self.learner.updates, agent_steps=0, updates=self.learner.updates)

  def _train(self) -> None:
    if self.learner.updates < self.config.updates:
      self.session.progress.wait_for(self.learner.programs.compiling)
      self.learner.programs.wait_compiled(self._check_and_show)
      self._logged = (self.learner.updates, time.monotonic())
    self.session.progress.begin(self._counters)
    while self.learner.updates < self.config.updates:
      self.session.stop.check()
      self.learner.run(1)
      self.session.progress.update(self._counters)
      self.session.attend(lambda: self.learner.updates)
      elapsed, updates = self.session.elapsed, self.learner.updates
      if self._log.due(elapsed):
        self._log_training()
      if self._eval.due(updates) and updates < self.config.updates:
        self._evaluate()
      if self.session.is_save_due(elapsed, failed=self.session.checkpoints.failed is not None):
        self._checkpoint()

  def _log_training(self) -> None:
    means = self.learner.take_metrics()
    if not means:
      return
    now, updates = time.monotonic(), self.learner.updates
    speed = (updates - self._logged[0]) / max(now - self._logged[1], 1e-9)
    self._logged = (updates, now)
    scalars = {f"train/{name}": value for name, value in means.items()}
    scalars |= {"train/skipped_updates": self.learner.skipped, "time/updates_per_second": speed}
    self.session.write(self._counters, scalars)
    if "loss/total" in means:
      self.session.progress.loss(means["loss/total"])

  def _evaluate(self) -> None:
    with self.session.progress.evaluating("held-out episodes"):
      found = self.evaluate(self.learner.newest_params, self.learner.updates)
    self.session.write(self._counters, found)

  def _check_and_show(self) -> None:
    self.session.stop.check()
    self.session.progress.tick()

  def _checkpoint(self) -> Counters:
    self.learner.flush()
    extra: Mapping[str, Any] = {"learner": self.learner.extra(), "replay": self.replay.state(latents=True)}
    self.session.save(self.learner.state, self._counters, extra, logged=self._counters)
    return self._counters
