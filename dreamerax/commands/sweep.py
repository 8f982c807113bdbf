"""`dreamerax sweep`: many runs, one after another or on Ray."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from dreamerax import files
from dreamerax.commands import ending
from dreamerax.ray_connection import LOCAL
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.run_lock import RunLock, holder
from dreamerax.sweeps import spec
from dreamerax.sweeps.display import SweepDisplay
from dreamerax.sweeps.manifest import Manifest, Record
from dreamerax.sweeps.on_ray import OnRay
from dreamerax.sweeps.pool import OneByOne, Pool
from dreamerax.sweeps.process import Job
from dreamerax.sweeps.run import SweepRun
from dreamerax.sweeps.trials import Build, Trial, expand


@dataclass(frozen=True)
class Arguments:
  """Trains every trial of a sweep, each in a process and a run directory of its own. The same command goes on with a sweep:
  what has finished is skipped, what has failed or was interrupted goes on from its checkpoint. Ctrl-C saves and leaves."""

  spec: Path
  """SPEC.yaml, or SPEC.py, which is executed; see docs/sweeps.md."""
  logdir: Path | None = None
  """Directory of the sweep: manifest.json, and a run directory for each trial. Default: sweeps/<name of SPEC>."""
  ray: str | None = None
  """local, or the address of a Ray cluster whose nodes all see the directory; without it, one trial after another."""
  dry_run: bool = False
  """Check the sweep, print the command of each trial, and start nothing."""


def run(arguments: Arguments, build: Build) -> int:
  """Returns the exit status: 0 once all trials have finished, else 1.

  Args:
    build: makes a run of what follows `dreamerax train`.
  """
  sweep = spec.read(arguments.spec)
  logdir = (arguments.logdir or Path("sweeps") / arguments.spec.stem).absolute()
  trials = expand(sweep, build)
  jobs = [make_job(trial, logdir) for trial in trials]
  if arguments.dry_run:
    print("\n".join(shlex.join(["dreamerax", *job.command[2:]]) for job in jobs))
    return 0
  files.refuse_links(logdir)
  for trial in trials:
    RunDirectory.to_continue(logdir / trial.name, trial.config)
  with ExitStack() as stack:
    stack.enter_context(RunLock(logdir))
    manifest = Manifest.load(logdir)
    gone = manifest.plan({trial.name: Record(trial.arguments, trial.config.env_steps) for trial in trials})
    _check_nobody_trains(manifest, logdir)
    pool = stack.enter_context(closing(_make_pool(arguments.ray, trials)))
    display = stack.enter_context(closing(SweepDisplay(manifest)))
    for name in gone:
      display.say(f"{name} is in the sweep no more; its directory stays")
    stop = stack.enter_context(StopSignals())  # after Ray, which has handlers of its own
    SweepRun(jobs, manifest, pool, display, sweep.retries).run(stop)
  finished = manifest.count("finished")
  print("\n".join(ending.swept(logdir, arguments.spec, finished=finished, total=len(jobs))))
  return 0 if finished == len(jobs) else 1


def make_job(trial: Trial, logdir: Path) -> Job:
  """The process that trains a trial of the sweep in `logdir`."""
  run_dir = str(logdir / trial.name)
  command = ("-m", "dreamerax", "train", *trial.arguments, "--logdir", run_dir)
  return Job(trial.name, command, run_dir, trial.config.env_steps, str(Path.cwd()), trial.resources)


def _make_pool(address: str | None, trials: Sequence[Trial]) -> Pool:
  if address is None:
    for trial in trials:
      if (hosts := trial.resources.hosts) > 1:
        raise ValueError(f"{trial.name}: resources.hosts={hosts} needs Ray: give --ray, or leave out resources.hosts")
    return OneByOne()
  pool = OnRay(address)
  for trial in trials:
    lack = pool.check(trial.resources)
    if lack and address == LOCAL:  # a cluster may grow
      pool.close()
      raise ValueError(f"{trial.name} could never run: {lack}; lower its resources")
  return pool


def _check_nobody_trains(manifest: Manifest, logdir: Path) -> None:
  for name, record in manifest.items():
    if record.state != "finished" and (who := holder(logdir / name)):
      raise ValueError(f"{logdir / name} is in use by {who}: wait until it has ended, or stop it")
