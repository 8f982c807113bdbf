"""Runs a sweep: submits trials, records what becomes of them, and tries again what has crashed."""

import time
from collections.abc import Sequence
from pathlib import Path

from dreamerax.runtime.interrupt import StopSignals
from dreamerax.sweeps.display import SweepDisplay
from dreamerax.sweeps.follow import Follower
from dreamerax.sweeps.manifest import Manifest, now
from dreamerax.sweeps.pool import Pool
from dreamerax.sweeps.process import Event, Job

_LOOK_SECONDS = 0.2  # between looks at the pool
_SAVE_SECONDS = 10.0  # between writes of the manifest where nothing but numbers has changed


class SweepRun:
  """One start of a sweep."""

  def __init__(self, jobs: Sequence[Job], manifest: Manifest, pool: Pool, display: SweepDisplay, retries: int):
    """
    Args:
      jobs: of all trials; those that have finished are skipped.
      manifest: planned for them.
      retries: how often each is started again after a crash.
    """
    self._jobs = {job.name: job for job in jobs}
    self._manifest, self._pool, self._display = manifest, pool, display
    self._retries = dict.fromkeys(self._jobs, retries)
    self._followers: dict[str, Follower] = {}  # of what is running
    self._began: dict[str, float] = {}  # by the clock, and the seconds of attempts before
    self._saved = 0.0

  def run(self, stop: StopSignals) -> None:
    """Runs until every trial has finished or failed; once somebody asks to stop, until
    all that runs has saved and left."""
    for name, record in self._manifest.items():
      if record.state != "finished":
        self._pool.submit(self._jobs[name])
    stopping = False
    while self._pool.busy:
      if stop.requested and not stopping:
        stopping = True
        self._pool.stop()
      for event in self._pool.poll():
        self._take(event, stopping)
      self._look_at_metrics()
      self._display.update()
      time.sleep(_LOOK_SECONDS)
    self._manifest.save()  # told as an error where it fails: nothing comes after it

  def _take(self, event: Event, stopping: bool) -> None:
    name, record = event.trial, self._manifest[event.trial]
    if event.kind == "began":
      self._followers[name] = Follower(Path(self._jobs[name].logdir))
      self._began[name] = time.monotonic() - record.seconds
      began = record.began or now()
      self._manifest.change(name, state="running", reason="", attempts=record.attempts + 1, began=began, ended=None)
    else:
      self._look_at(name)
      self._followers.pop(name, None)
      self._manifest.change(name, state=self._next_state(event, stopping), reason=event.reason, ended=now())
    self._save()
    self._display.changed(name)

  def _next_state(self, event: Event, stopping: bool) -> str:
    """Decides the state of a trial after the end of an attempt; submits it again where
    it has another one."""
    if event.kind == "finished":
      return "finished"
    if event.kind == "refused":
      return "failed"
    if stopping:
      return "waiting"
    if not self._retries[event.trial]:
      return "failed"
    self._retries[event.trial] -= 1
    self._pool.submit(self._jobs[event.trial])
    return "waiting"

  def _look_at_metrics(self) -> None:
    for name in self._followers:
      self._look_at(name)
    if time.monotonic() - self._saved >= _SAVE_SECONDS:
      self._save()

  def _save(self) -> None:
    """A full disk, say, ends no trial; the manifest is written again soon."""
    self._saved = time.monotonic()
    try:
      self._manifest.save()
    except OSError as error:
      self._display.say(f"the manifest cannot be written ({error}); it is tried again")

  def _look_at(self, name: str) -> None:
    if name not in self._followers:  # it never began
      return
    follower = self._followers[name]
    follower.read()
    seconds = round(time.monotonic() - self._began[name], 1)
    self._manifest.change(name, env_steps=follower.env_steps, eval_return=follower.score, seconds=seconds)
