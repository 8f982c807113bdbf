"""Writes the first help page of commands with hundreds of options: those that matter
first, with their values."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH = 80
_INDENT = 24


class Shown(NamedTuple):
  """A line of the page."""

  option: str
  value: str  # what a person gives
  text: str


_LOGDIR = Shown("--logdir", "DIR", "run directory; one that is there goes on. `latest` is the newest in ./runs")
TRAIN = {
  "what is trained": (
    Shown("--task", "NAME", "dmc/<domain>_<task>, gym/<id>, or package.module:factory of your own"),
    Shown("--size", "NAME", "model size; `dreamerax list` shows them with their parameters"),
    Shown("--env-steps", "N", "length of the run, in steps of the simulator: 100000, 1e5 or 100k"),
    Shown("--seed", "N", "of parameters, environments and every draw"),
    Shown("--seeds", "N", "so many agents at once, from --seed on"),
  ),
  "where it is kept": (
    _LOGDIR,
    Shown("--config", "FILE", "begin with the configuration of another run"),
    Shown("--init-world-model", "DIR", "begin with the world model of another run"),
  ),
  "the environment": (
    Shown("--num-envs", "N", "environments in parallel"),
    Shown("--action-repeat", "N", "simulator steps for each decision"),
    Shown("--image-size", "N", "pixels a side"),
    Shown("--rendering", "NAME", "published, balanced, coarse or fast: how closely pictures are drawn"),
  ),
  "how it is watched": (
    Shown("--eval-every", "N", "env steps between evaluations"),
    Shown("--eval-episodes", "N", "episodes of an evaluation"),
    Shown("--video-every", "N", "env steps between videos; 0 makes none"),
    Shown("--log", "NAME", "wandb, mlflow or trackio, beside metrics.jsonl and TensorBoard"),
  ),
}
TRAIN_WORLD_MODEL = {
  "what is trained": (
    Shown("--data", "DIR", "episodes that `dreamerax record --out DIR` has written; needed"),
    Shown("--size", "NAME", "model size; `dreamerax list` shows them"),
    Shown("--updates", "N", "length of the run"),
    Shown("--seed", "N", "of parameters, batches, and which episodes are held out"),
    Shown("--held-out", "SHARE", "of the episodes, which are not trained on but predicted"),
  ),
  "where it is kept": (_LOGDIR,),
  "how it is watched": (
    Shown("--eval-every", "N", "updates between evaluations"),
    Shown("--open-loop.context", "N", "steps that are seen before those that are predicted"),
  ),
}


def page(command: str, description: str, groups: dict[str, Sequence[Shown]], default: Any) -> str:
  """The page, no line of which is longer than 80 characters.

  Args:
    command: what a person typed before the options.
    default: the command's arguments with the values that are shown.
  """
  lines = [f"usage: {command} [OPTIONS]", "", description]
  for head, options in groups.items():
    lines += ["", f"{head}:"]
    for option, value, text in options:
      given = value_of(default, option)
      told = text if given in (None, "", ()) else f"{text} ({given})"
      left = f"  {option} {value}"
      wrapped = textwrap.wrap(told, WIDTH - _INDENT)
      lines.append(f"{left:<{_INDENT}}{wrapped[0]}" if len(left) < _INDENT - 1 else left)
      lines += [" " * _INDENT + line for line in (wrapped[1:] if len(left) < _INDENT - 1 else wrapped)]
  return "\n".join([*lines, "", f"All options: {command} --help-all"])


def value_of(default: Any, option: str) -> Any:
  """The value of an option, whose name says where it is; those of `env` and `loop` are named without these."""
  *path, name = option.removeprefix("--").replace("-", "_").split(".")
  parts = [default, *(getattr(default, group, None) for group in ("env", "loop"))]
  for step in path:
    parts = [getattr(part, step, None) for part in parts]
  return next(getattr(part, name) for part in parts if hasattr(part, name))
