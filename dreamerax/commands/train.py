"""`dreamerax train`: one run, from a preset and what was said differently."""

import time
from dataclasses import dataclass, fields
from pathlib import Path

from dreamerax import api, presets
from dreamerax.presets import PRESETS, RunConfig
from dreamerax.runtime import hosts

DEFAULT_PRESET = "quick"


@dataclass(frozen=True)
class Arguments(RunConfig):
  """A run, and where it is kept."""

  logdir: Path | None = None
  """Run directory; a run that is already there goes on. Default: runs/<preset>-<task>-<time>."""
  init_world_model: Path | None = None
  """Begin with the world model of this run directory, made by `train-world-model` or `train`; it must have the same parts."""
  distributed: bool = False
  """Train with the processes that are started alike on other hosts, found as TPUs, Slurm, Open MPI and Kubernetes tell.
  They share --logdir. See docs/scaling.md."""
  coordinator: str | None = None
  """HOST:PORT of process 0, where nothing tells: with --processes and --process, which imply --distributed."""
  processes: int | None = None
  """How many processes train together."""
  process: int | None = None
  """Which of them this one is, from 0."""

  @property
  def is_one_of_several(self) -> bool:
    """Whether other processes train with this one."""
    return self.distributed or any(x is not None for x in (self.coordinator, self.processes, self.process))


def defaults(preset: str | None, size: str | None, logdir: str | None) -> Arguments:
  """What a run looks like before further options: that of the run directory if one is there, else the preset's.

  Raises:
    ValueError: unknown preset or size, or not those of the run that is already there.
  """
  if logdir is not None and (Path(logdir) / api.CONFIG).exists():
    config, started = api.load_config(logdir), api.load_preset(logdir)
    for name, asked, stored in (("preset", preset, started), ("size", size, config.size)):
      if asked not in (None, stored):
        raise ValueError(f"{name}={asked!r}: the run in {logdir} was started with {stored!r}; choose another --logdir")
  else:
    config = presets.build(preset or DEFAULT_PRESET, size)
  return Arguments(**{field.name: getattr(config, field.name) for field in fields(config)})


def describe(preset: str | None) -> str:
  """The head of the help page."""
  chosen = preset or DEFAULT_PRESET
  known = "\n".join(f"  {name:<12} {value.summary}" for name, value in PRESETS.items())
  return (
    f"Trains an agent. Presets (dreamerax train PRESET):\n{known}\n\nThe defaults below are those of {chosen}. Ctrl-C "
    f"saves and leaves; the same --logdir goes on from there."
  )


def to_config(arguments: Arguments) -> RunConfig:
  """The run, without where it is kept and what it begins with."""
  return RunConfig(**{field.name: getattr(arguments, field.name) for field in fields(RunConfig)})


def run(preset: str | None, arguments: Arguments) -> int:
  """Trains; returns the exit status.

  Raises:
    ValueError: what was said does not fit. Also what `api.train` raises.
  """
  config = to_config(arguments)
  logdir = arguments.logdir
  if arguments.is_one_of_several:
    if logdir is None:
      raise ValueError("--distributed needs --logdir: a directory that all hosts share")
    hosts.join(arguments.coordinator, arguments.processes, arguments.process)
  if logdir is not None and (logdir / api.CONFIG).exists():
    preset = api.load_preset(logdir)
  preset = preset or DEFAULT_PRESET
  if logdir is None:
    task = config.env.task.replace("/", "-").replace(":", "-")
    logdir = Path("runs") / f"{preset}-{task}-{time.strftime('%Y%m%d-%H%M%S')}"
  api.train(config, logdir, preset, init_world_model=arguments.init_world_model)
  return 0
