"""Makes the trials of a sweep, and checks each as `dreamerax train` would."""

import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from dreamerax import envs
from dreamerax.run_config import RunConfig
from dreamerax.sweeps.spec import Grid, Resources, Sweep, hyphenated, to_flags

Build = Callable[[Sequence[str]], RunConfig]  # what follows `dreamerax train` -> the run; ValueError where it is none
_LONGEST_NAME = 200  # of a directory, which file systems hold to 255 bytes


@dataclass(frozen=True)
class Trial:
  """One run of a sweep."""

  name: str  # of its directory
  arguments: tuple[str, ...]  # of dreamerax train; --logdir is not among them
  config: RunConfig
  resources: Resources


def expand(sweep: Sweep, build: Build) -> list[Trial]:
  """All trials, in the order in which the sweep names them.

  Raises:
    ValueError: the command of a trial would be refused, or two trials would have one directory.
  """
  trials: dict[str, Trial] = {}
  for grid in sweep.grids:
    for trial in _trials(sweep, grid, build):
      if trial.name in trials:
        raise ValueError(
          f"two trials are called {trial.name}: give each grid a name of its own, or name presets, tasks and seeds once"
        )
      trials[trial.name] = trial
  return list(trials.values())


def _trials(sweep: Sweep, grid: Grid, build: Build) -> Iterator[Trial]:
  vary = hyphenated(grid.vary)
  fixed = hyphenated(sweep.options) | hyphenated(grid.options)
  for preset, task, values in itertools.product(grid.presets, grid.tasks or (None,), itertools.product(*vary.values())):
    varied = dict(zip(vary, values, strict=True))
    head, tail = [preset, *([] if task is None else ["--task", task])], to_flags(fixed | varied)
    lines = {seed: [*head, "--seed", str(seed), *tail] for seed in grid.seeds}
    base = _checked(lines[grid.seeds[0]], build)  # seeds change nothing else, and a long sweep is checked in seconds
    words = [preset, base.env.task, grid.name, *(f"{name}={value}" for name, value in varied.items())]
    for seed, arguments in lines.items():
      name = _file_name([*words, f"seed{seed}"])
      yield Trial(name, tuple(arguments), replace(base, seed=seed), grid.resources or sweep.resources)


def _checked(arguments: Sequence[str], build: Build) -> RunConfig:
  try:
    config = build(arguments)
    envs.check_task(config.env.task)
  except ValueError as error:
    raise ValueError(f"dreamerax train {shlex.join(arguments)}: {error}") from error
  return config


def _file_name(parts: Sequence[str]) -> str:
  name = "-".join(re.sub(r"[^A-Za-z0-9._=+-]+", "-", part).strip("-") for part in parts if part)
  if len(name) > _LONGEST_NAME:
    raise ValueError(
      f"the name {name} of a trial is too long for a directory: vary less in one grid, and name the grids"
    )
  return name
