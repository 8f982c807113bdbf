"""Sweeps of pretenders."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from dreamerax.runtime.interrupt import StopSignals
from dreamerax.sweeps.display import SweepDisplay
from dreamerax.sweeps.manifest import Manifest, Record
from dreamerax.sweeps.pool import Pool
from dreamerax.sweeps.process import Job
from dreamerax.sweeps.run import SweepRun
from dreamerax.sweeps.spec import Resources

PROGRAM = str(Path(__file__).with_name("pretender.py"))
TOTAL = 8


def make_job(folder: Path, name: str, fault: str = "", total: int = TOTAL) -> Job:
  run_dir = str(folder / name)
  command = ("-S", PROGRAM, run_dir, str(total), *filter(None, [fault]))
  return Job(name, command, run_dir, total, str(folder), Resources(cpus=0.5))


def sweep(
  folder: Path, faults: Mapping[str, str], pool: Pool, *, retries: int = 2, stop: StopSignals | None = None
) -> Manifest:
  """Runs the trials {name: fault} to their end; what the sweep says is in folder/said."""
  folder.mkdir(exist_ok=True)
  jobs = [make_job(folder, name, fault) for name, fault in faults.items()]
  manifest = Manifest.load(folder)
  manifest.plan({job.name: Record(job.command, job.env_steps) for job in jobs})
  with (folder / "said").open("a") as said:
    display = SweepDisplay(manifest, Console(file=said, width=200))
    SweepRun(jobs, manifest, pool, display, retries).run(stop or StopSignals())
    display.close()
  return manifest


def attempts(folder: Path, name: str) -> list[int]:
  """Process ids of the attempts at a trial."""
  path = folder / name / "attempts"
  return [int(pid) for pid in path.read_text().split()] if path.exists() else []
