"""Runs one attempt at a trial: `dreamerax train` in a process of its own, and reads
what its end means."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from dreamerax import die_with_parent
from dreamerax.runtime.run_lock import holder
from dreamerax.sweeps.follow import Follower
from dreamerax.sweeps.spec import Resources

OUTPUT = "output.log"  # in the run directory: what all attempts have printed, on the first host
_USERS_MISTAKE = 2  # exit status of dreamerax train
LOCK_SECONDS = 60.0  # for the kernel, or a network file system, to give up the lock of an attempt that was killed
_TAIL_BYTES = 20_000


@dataclass(frozen=True)
class Job:
  """The command of an attempt, and what it needs on any machine that sees `logdir` and
  `folder`."""

  name: str  # of the trial
  command: tuple[str, ...]  # what follows `python`, that of the machine
  logdir: str
  env_steps: int  # at which the run has reached its end
  folder: str  # to run in
  resources: Resources
  host: int = 0  # which one of a trial that is spread over several

  @property
  def output(self) -> Path:
    """The file of what all attempts have printed on this host."""
    return Path(self.logdir) / (f"output-host-{self.host}.log" if self.host else OUTPUT)


class Event(NamedTuple):
  """Something that happened to a trial."""

  trial: str
  kind: Literal["began", "finished", "interrupted", "refused", "crashed"]
  reason: str = ""  # why it ended, in one line


class Attempt:
  """Starts the process; it is killed when this one ends, and saves its run at `stop`."""

  def __init__(self, job: Job, environment: Mapping[str, str] | None = None, *, lock_seconds: float = LOCK_SECONDS):
    """
    Args:
      environment: variables on top of this process's own.
      lock_seconds: how long another process may hold the run's directory before this attempt fails.

    Raises:
      OSError: the process cannot be started here.
    """
    self._job = job
    logdir = Path(job.logdir)
    logdir.mkdir(parents=True, exist_ok=True)
    if job.host == 0:  # the others take no lock
      _await_lock(logdir, lock_seconds)
    with job.output.open("ab") as output:
      self._output_begins = output.tell()
      # A session of its own, so that Ctrl-C on a terminal asks the sweep alone.
      self._process = die_with_parent.start(
        [*_path_options(job.folder), *job.command],
        cwd=job.folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )

  def poll(self) -> Event | None:
    """Returns how the attempt ended; None while it lasts."""
    status = self._process.poll()
    if status is None:
      return None
    kind, reason = self._explain(status)
    return Event(self._job.name, kind, reason)

  def stop(self) -> None:
    """Asks the run to save and leave."""
    if self._process.poll() is None:
      self._process.send_signal(signal.SIGTERM)

  def kill(self) -> None:
    """Ends the process at once, and waits for that."""
    self._process.kill()
    self._process.wait()

  def _explain(self, status: int) -> tuple[Literal["finished", "interrupted", "refused", "crashed"], str]:
    if status < 0:
      return "crashed", f"killed by {signal.Signals(-status).name}"
    if status == _USERS_MISTAKE:
      return "refused", self._last_line()
    if status > 0:
      return "crashed", f"exit status {status}: {self._last_line()}"
    progress = Follower(Path(self._job.logdir))
    progress.read()
    if progress.env_steps >= self._job.env_steps:
      return "finished", ""
    return "interrupted", "saved and left before its end"

  def _last_line(self) -> str:
    with self._job.output.open("rb") as output:
      output.seek(max(self._output_begins, output.seek(0, 2) - _TAIL_BYTES))
      lines = output.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def _await_lock(logdir: Path, seconds: float) -> None:
  """Waits for an attempt on a lost machine, beside which this one would be refused as
  somebody's mistake."""
  deadline = time.monotonic() + seconds
  while who := holder(logdir):
    if time.monotonic() > deadline:
      raise OSError(f"its directory is in use by {who}")
    time.sleep(0.1)


def _path_options(folder: str) -> tuple[str, ...]:
  """Returns options of Python: it finds no module in the current directory, which may
  be one from elsewhere, unless dreamerax is there."""
  return () if Path(folder) == Path(__file__).parents[2] else ("-P",)
