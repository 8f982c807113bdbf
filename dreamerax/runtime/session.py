"""Keeps a run's lock, checkpoints and metrics in its directory, and ends the run in
order."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from dreamerax.envs.faults import EnvironmentFault
from dreamerax.loggers.names import LoggerName
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, Checkpoints, Extra
from dreamerax.runtime.checkpoint.metadata import ConfigFile, RunState
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.errors import Diverged, Interrupted, NotSaved
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.protocol import State
from dreamerax.runtime.run_lock import RunLock
from dreamerax.runtime.telemetry.metrics import Metrics, MetricsWriter, NoMetrics, as_markdown
from dreamerax.runtime.telemetry.progress import Progress
from dreamerax.runtime.telemetry.timing import Interval

_RETRY_SECONDS = 60.0  # until a checkpoint that could not be saved is tried again


class Session:
  """One host's use of a run directory, from its lock to the last checkpoint.

  `with` takes the lock and opens the checkpoints. Then come `restore`, `begin`, and
  `conclude` around all that trains.
  """

  checkpoints: Checkpoints
  """From `with` on."""
  saved: RunState
  """What the run continues from; from `restore` on."""
  progress: Progress
  """From `begin` on."""

  def __init__(
    self,
    logdir: Path,
    hosts: Hosts,
    stop: StopSignals,
    *,
    seed: int,
    unit: str,
    checkpoint_minutes: float,
  ):
    """
    Args:
      seed: of a run that begins.
      unit: what counters are told in, for people.
    """
    self.logdir, self.hosts, self.stop = logdir, hosts, stop
    self.metrics: Metrics = NoMetrics()
    self._seed, self._unit = seed, unit
    self._save = Interval(checkpoint_minutes * 60, 0)
    self._retry = Interval(_RETRY_SECONDS, 0)
    self._attended = False  # by signals: there is something to save
    self._open = ExitStack()

  def __enter__(self) -> "Session":
    """
    Raises:
      ValueError: another process trains there, or nothing can be written there.
    """
    with ExitStack() as stack:
      if self.hosts.leads:
        stack.enter_context(RunLock(self.logdir))
      checkpoints = Checkpoints(self.logdir / FOLDER, hosts=self.hosts)
      self.checkpoints = stack.enter_context(closing(checkpoints))
      self._open = stack.pop_all()
    return self

  def __exit__(self, *_: object) -> None:
    self._open.close()

  def restore(self, like: State) -> tuple[State | None, Extra]:
    """The newest checkpoint's state and extra arrays; None and none where a run begins.

    Arguments and errors are those of `Checkpoints.restore`.
    """
    nothing = None, RunState.nothing(self._seed), {}
    state, self.saved, extra = self.checkpoints.restore(like) or nothing
    return state, extra

  def begin(self, written: ConfigFile, loggers: Sequence[LoggerName], progress: Progress) -> None:
    """Opens the metrics, on host 0. The run's seconds count from here."""
    self.progress = progress
    if self.hosts.leads:
      writer = MetricsWriter(
        self.logdir,
        size=self.saved.metrics,
        after=self.saved.counters.env_steps,
        loggers=loggers,
        say=progress.say,
        stopped=lambda: self.stop.requested,
      )
      self.metrics = self._open.enter_context(closing(writer))
      writer.text(self.saved.counters, "config.json", as_markdown(written.text))
    self.saved = self.saved._replace(config=written.checksum)
    self._began = time.monotonic()

  @property
  def elapsed(self) -> float:
    """Seconds since `begin`."""
    return time.monotonic() - self._began

  @property
  def seconds(self) -> float:
    """Seconds since the run began, over restarts."""
    return self.saved.seconds + self.elapsed

  def attend(self, progress: Callable[[], object]) -> None:
    """Tells signals, once, that there is something to save. progress: as `StopSignals.attend`."""
    if not self._attended:
      self._attended = True
      self.stop.attend(progress)

  def write(self, counters: Counters, scalars: Mapping[str, float]) -> None:
    """Adds a line to the metrics."""
    self.metrics.write(counters, self.seconds, scalars)

  def is_save_due(self, elapsed: float, *, failed: bool) -> bool:
    """
    Args:
      elapsed: seconds that the run has trained, on whose clock all hosts agree.
      failed: whether the newest checkpoint could not be saved.
    """
    retry = self._retry.due(elapsed) and failed
    return self._save.due(elapsed) or retry

  def save(self, state: State, counters: Counters, extra: Extra, **more: Any) -> None:
    """Begins a checkpoint, see `Checkpoints.save`. more: other fields of `RunState`."""
    self.metrics.flush()
    saved = self.saved._replace(counters=counters, seconds=self.seconds, metrics=self.metrics.size, **more)
    self.checkpoints.save(state, saved, extra)

  def conclude(self, train: Callable[[], None], save: Callable[[], Counters]) -> bool:
    """Trains until the end, or until somebody asks to leave, and saves.

    Args:
      train: all that trains.
      save: begins a checkpoint by `save` above; returns the counters that are in it.

    Returns:
      Whether somebody asked.

    Raises:
      Diverged, EnvironmentFault: of `train`; says where the run may go on.
      NotSaved: the last checkpoint could not be written.
    """
    interrupted = False
    try:
      train()
    except Interrupted:
      interrupted = True
    except Diverged as error:
      raise self._spared(error) from None
    except EnvironmentFault as fault:
      if self.hosts.count == 1:  # else the others would have to join in
        save()
      raise self._after(fault) from None
    if interrupted and not self._attended:  # nothing has happened since the checkpoint that the run began with
      return True
    self.stop.saving()
    self.progress.wait_for(lambda: "saving")
    counters = save()
    self._check_saved()
    if interrupted:
      count = f"{counters.env_steps:,} {self._unit}"
      self.progress.say(f"saved at {count}: continue it with --logdir {self.logdir}")
    return interrupted

  def _check_saved(self) -> None:
    self.checkpoints.wait()
    failed = self.hosts.sum([self.checkpoints.failed is not None])[0]  # and none ends while host 0 still writes
    if failed:
      why = self.checkpoints.failed or "host 0 says why"
      raise NotSaved(
        f"the last checkpoint could not be saved ({why}): mend that, and go on with --logdir {self.logdir}"
      )

  def _spared(self, error: Diverged) -> Diverged:
    """`error`, and which checkpoint it leaves to go on from."""
    self.checkpoints.wait()
    newest = self.checkpoints.newest
    where = "there is no checkpoint" if newest is None else f"the checkpoint at {newest:,} {self._unit} is intact"
    return Diverged(f"{error}; {where}")

  def _after(self, fault: EnvironmentFault) -> EnvironmentFault:
    """`fault`, and where the run goes on."""
    self.checkpoints.wait()
    newest = self.checkpoints.newest
    where = "nothing is saved" if newest is None else f"saved at {newest:,} {self._unit}"
    return EnvironmentFault(f"{fault}; {where}: mend the environment, and go on with --logdir {self.logdir}")
