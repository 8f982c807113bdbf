"""Writes the last lines of a command that trains: where the run is, what it has
reached, and what can be done with it."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dreamerax import run_list
from dreamerax.runtime.learn.compile_times import duration
from dreamerax.words import number_of

_WIDTH = 80  # of a terminal; in longer lines a comment stands above its command


class Reached(NamedTuple):
  """The evaluations in a run's metrics."""

  last: float
  best: float
  best_at: int  # env steps


def trained(
  logdir: Path, *, env_steps: int, total: int, seconds: float, interrupted: bool, own: Sequence[str], draws: bool = True
) -> list[str]:
  """Writes the lines for one agent.

  Args:
    own: modules that the run's configuration names, which the person has to name again.
    draws: whether its world model decodes images, which can be filmed.
  """
  name, trust = _name(logdir), _trust(own)
  head = f"interrupted at {env_steps:,} of {total:,} env steps" if interrupted else f"finished: {env_steps:,} env steps"
  commands = [
    (f"eval {name}{trust}", "its score"),
    (f"plot {name} --out curve.png", "its curve"),
    (f"video {name} --out dream.mp4{trust}", "a film") if draws else (f"doctor {name}", "whether all of it is whole"),
  ]
  goes_on = (f"train --logdir {name} --env-steps {total if interrupted else 2 * total}{trust}", "go on")
  commands = [goes_on, *commands[:2]] if interrupted else [*commands, goes_on]
  return [f"{head}, {duration(seconds)}", f"run: {_path(logdir)}", *_evaluations(logdir), *_next(commands)]


def seeds_trained(
  logdir: Path, runs: Sequence[Path], *, total: int, interrupted: bool, own: Sequence[str]
) -> list[str]:
  """Writes the lines for several seeds, each with a directory in `logdir`."""
  lines = [f"{'interrupted' if interrupted else 'finished'}: {number_of(len(runs), 'seed')} in {_path(logdir)}"]
  for path in runs:
    lines += [f"  {path.name}  {line.strip()}" for line in _evaluations(path)]
  folder = shlex.quote(_path(logdir))
  count = f"--seeds {len(runs)} --logdir {folder} --env-steps {total if interrupted else 2 * total}"
  commands = [
    (f"plot {folder} --out curve.png", "mean of the seeds"),
    (f"eval {shlex.quote(_path(runs[0]))}{_trust(own)}", "one's score"),
    (f"train {count}{_trust(own)}", "go on"),
  ]
  return [*lines, *_next(commands)]


def model_trained(logdir: Path, *, updates: int, seconds: float, interrupted: bool, data: Path) -> list[str]:
  """Writes the lines for a world model that was trained alone."""
  name = _name(logdir)
  goes_on = (f"train-world-model --data {shlex.quote(str(data))} --logdir {name}", "go on")
  commands = [
    (f"train --init-world-model {name}", "an agent that begins with it"),
    (f"dream {name}", "steer inside it"),
    (f"doctor {name}", "whether all of it is whole"),
  ]
  head = "interrupted" if interrupted else "finished"
  lines = [f"{head}: {updates:,} updates, {duration(seconds)}", f"run: {_path(logdir)}"]
  return [*lines, *_next([goes_on] if interrupted else commands)]


def swept(logdir: Path, spec: Path, *, finished: int, total: int) -> list[str]:
  """Writes the lines for the trials of a sweep."""
  folder = shlex.quote(_path(logdir))
  commands = [
    (f"plot {folder} --out sweep.html", "curves, tables, configurations"),
    (f"runs {folder}", "how far each has come"),
  ]
  if finished < total:
    commands.insert(0, (f"sweep {shlex.quote(str(spec))}", "go on with the others"))
  return [f"{finished} of {number_of(total, 'trial')} finished in {_path(logdir)}", *_next(commands)]


def _trust(own: Sequence[str]) -> str:
  return "".join(f" {word}" for word in ("--trust", *map(shlex.quote, own))) if own else ""


def _evaluations(logdir: Path) -> list[str]:
  found = read(logdir / "metrics.jsonl")
  if found is None:
    return []
  return [f"return: {found.last:.1f} at the last evaluation; best {found.best:.1f} at {found.best_at:,} env steps"]


def read(path: Path) -> Reached | None:
  """None where there was no evaluation, or where the file cannot be read."""
  returns = []
  try:
    with path.open("rb") as lines:
      for line in lines:
        if b'"eval/return"' in line and line.endswith(b"\n"):
          row = json.loads(line)
          if row.get("eval/return") is not None:
            returns.append((float(row["eval/return"]), int(row["env_steps"])))
  except (OSError, ValueError, KeyError, TypeError):
    return None
  if not returns:
    return None
  best, at = max(returns, key=lambda pair: pair[0])
  return Reached(returns[-1][0], best, at)


def _next(commands: Sequence[tuple[str, str]]) -> list[str]:
  program = _program()
  width = max(len(command) for command, _ in commands)
  beside = [f"  {program} {command:<{width}}  # {why}" for command, why in commands]
  if max(map(len, beside)) <= _WIDTH:
    return ["next:", *beside]
  return ["next:", *(line for command, why in commands for line in (f"  # {why}", f"  {program} {command}"))]


def _program() -> str:
  """Returns the words that this program was called by: a name that the shell finds, or
  its path."""
  called = Path(sys.argv[0])
  if called.name != "dreamerax":
    return "python -m dreamerax"
  return "dreamerax" if shutil.which("dreamerax") else shlex.quote(_path(called.absolute()))


def _name(logdir: Path) -> str:
  """Names a run on a command line: latest, where that is this run."""
  found = run_list.newest()
  if found is not None and found.absolute() == logdir.absolute() and not os.path.lexists(run_list.LATEST):
    return run_list.LATEST
  return shlex.quote(_path(logdir))


def _path(path: Path) -> str:
  """Writes a path from the working directory where it is below that, else whole."""
  try:
    return str(path.absolute().relative_to(Path.cwd()))
  except ValueError:
    return str(path.absolute())
