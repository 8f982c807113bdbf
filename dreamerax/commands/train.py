"""`dreamerax train`: one run, from a preset and what was said differently."""

import textwrap
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from dreamerax import api, envs, presets, run_list
from dreamerax.agent import Agent
from dreamerax.commands import ending, short_help
from dreamerax.commands.trusting import TrustOption
from dreamerax.own_code import NOBODY, Trust, module_of
from dreamerax.presets import PRESETS
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory, find_seeds, seed_dir
from dreamerax.runtime.devices import hosts

DEFAULT_PRESET = "quick"
_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Arguments(TrustOption, RunConfig):
  """A run, or one for each of several seeds, and where they are kept."""

  logdir: Path | None = None
  """Run directory; a run that is already there goes on. Default: runs/<preset>-<task>-seed<seed>-<time>."""
  config: Path | None = None
  """Begin a new run with the configuration of another: its directory, or a config.json. Further options differ from it."""
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
  seeds: int = 1
  """Agents with the seeds seed, seed + 1, ..., trained by one vmapped update, each in a directory LOGDIR/seed-N of its own."""
  collect: Literal["local", "ray"] = "local"
  """ray: --workers.count actors of Ray step the environments and act, and send whole chunks of steps."""
  ray_address: str = "local"
  """Of the cluster that --collect ray asks for actors; local starts a Ray on this machine, which ends with the run."""

  def __post_init__(self):
    super().__post_init__()
    if not 1 <= self.seeds <= _MOST_SEEDS:
      raise ValueError(f"seeds={self.seeds} must lie between 1 and {_MOST_SEEDS}")
    if self.seeds > 1 and self.collect != "local":
      raise ValueError(
        f"seeds={self.seeds} collect in their own process: leave --collect {self.collect} or --seeds out"
      )
    if self.is_one_of_several and self.collect != "local":
      raise ValueError(f"collect={self.collect} is for one host: leave it or --distributed out")
    if self.ray_address != "local" and self.collect != "ray":
      raise ValueError(f"ray_address={self.ray_address!r} is where --collect ray collects: give that too")

  @property
  def is_one_of_several(self) -> bool:
    """Whether other processes train with this one."""
    return self.distributed or any(x is not None for x in (self.coordinator, self.processes, self.process))


class Beginning(NamedTuple):
  """The preset and the stored run that a run begins from."""

  preset: str
  there: RunDirectory | None
  """The run in the directory, or the first of several seeds in it."""


def defaults(
  preset: str | None, size: str | None, logdir: str | None, *, config: str | None = None, trust: Trust = NOBODY
) -> tuple[Arguments, Beginning]:
  """Returns a run before further options: that of the run directory if one is there,
  else what `config` has, else the preset's.

  Args:
    preset: a name of PRESETS, or the person's own, `module:name`.
    trust: code that may run because a stored configuration names it.

  Raises:
    ValueError: unknown preset or size, or not those of the run that is already there.
  """
  if config is not None and preset is not None:
    raise ValueError(f"config={config}: it has its preset; leave {preset} out")
  seeds = find_seeds(Path(logdir)) if logdir else {}
  there = _run_in(logdir, trust)
  if there is not None:
    there.check_started_as(preset, size)
    there = replace(there, trust=_trust_with(trust, preset, there))
    preset, stored = there.preset, there.config
  elif config is not None:
    begun = RunDirectory.open(config, trust)
    preset, stored = begun.preset, begun.config
    begun.check_acts()
    if size not in (None, stored.size):
      raise ValueError(f"size={size!r}: {config} has {stored.size!r}; begin with a preset for another size")
  else:
    stored = presets.build(preset or DEFAULT_PRESET, size)
  arguments = Arguments(**{field.name: getattr(stored, field.name) for field in fields(stored)}, seeds=len(seeds) or 1)
  return arguments, Beginning(preset or DEFAULT_PRESET, there)


def _trust_with(trust: Trust, preset: str | None, there: RunDirectory) -> Trust:
  """Adds to `trust` the module of a person's own preset that is named, and the
  environment that it trains in."""
  if preset is None or ":" not in preset:
    return trust
  built = presets.build(preset, there.size)
  return trust.adding(module_of(preset), built.env.task)


def describe(preset: str | None) -> str:
  """The head of the help page."""
  chosen = preset or DEFAULT_PRESET
  general = [f"  {name:<12} {value.summary}" for name, value in PRESETS.items() if not (value.special or value.frames)]
  special = ", ".join(name for name, value in PRESETS.items() if value.special)
  frames = ", ".join(name for name, value in PRESETS.items() if value.frames and not value.special)
  others = f"for tasks of one kind: {special}; predicting images: {frames}"
  known = "\n".join([*general, *(f"  {line}" for line in textwrap.wrap(others, short_help.WIDTH - 2))])
  return (
    f"Trains an agent. Ctrl-C saves and leaves; the same --logdir goes on from there.\n\n"
    f"presets (dreamerax train PRESET; values below are those of {chosen}):\n{known}"
  )


def to_config(arguments: Arguments) -> RunConfig:
  """The run, without where it is kept and what it begins with."""
  return RunConfig(**{field.name: getattr(arguments, field.name) for field in fields(RunConfig)})


def check_typed(arguments: Arguments, typed: Collection[str]) -> None:
  """Raises ValueError: a setting that was typed does not apply to the task."""
  envs.check_applies(arguments.env, typed)


def run(begun: Beginning, arguments: Arguments) -> int:
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
  with ExitStack() as stack:
    if logdir is None:
      last = config.seed + arguments.seeds - 1
      seeds = f"seed{config.seed}" if arguments.seeds == 1 else f"seeds{config.seed}-{last}"
      logdir = stack.enter_context(run_list.new_run_dir(f"{begun.preset}-{config.env.task}-{seeds}"))
    lines = _train(config, logdir, begun, arguments)
    if jax.process_index() == 0:
      print("\n".join(lines))
  return 0


def _train(config: RunConfig, logdir: Path, begun: Beginning, arguments: Arguments) -> list[str]:
  """Trains; returns what there is to say at the end."""
  preset, there = begun
  initial, total, trust = arguments.init_world_model, config.env_steps, arguments.trusted
  own = sorted({module_of(path) for path in (config.env.task, preset) if ":" in path})
  if arguments.seeds > 1 or find_seeds(logdir):
    results = api.train_seeds(config, logdir, arguments.seeds, preset, init_world_model=initial, trust=trust)
    interrupted = any(each.interrupted for each in results)
    runs = [seed_dir(logdir, config.seed + index) for index in range(len(results))]
    return ending.seeds_trained(logdir, runs, total=total, interrupted=interrupted, own=own)
  ray = arguments.ray_address if arguments.collect == "ray" else None
  result = api.train(config, logdir, preset, init_world_model=initial, ray_address=ray, trust=trust, there=there)
  return ending.trained(
    logdir,
    env_steps=result.counters.env_steps,
    total=total,
    seconds=result.seconds,
    interrupted=result.interrupted,
    own=own,
    draws=_draws(config, there or RunDirectory.open(logdir)),
  )


def _draws(config: RunConfig, directory: RunDirectory) -> bool:
  """Whether the world model decodes images."""
  spec = directory.spec
  return any(spec.observation[name].is_image for name in Agent(config.agent, spec).decoded)


def _run_in(logdir: str | Path | None, trust: Trust = NOBODY) -> RunDirectory | None:
  """The run in a directory, or the first of several seeds in it; None where there is none."""
  if not logdir:  # what is no path is refused with the other options
    return None
  found, seeds = RunDirectory.find(logdir, trust), find_seeds(Path(logdir))
  return RunDirectory.open(seeds[min(seeds)], trust) if found is None and seeds else found
