"""Lists the commands of the program: the module that runs each, how its arguments are
read, and a line for the help page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dreamerax.commands import short_help
from dreamerax.run_list import RUNS

_COLUMN = 19  # where the help page's summaries begin


class Subcommand(NamedTuple):
  """One way to call a command. Its module has a dataclass `Arguments` and a `run` that returns the exit status."""

  module: str  # in dreamerax.commands
  takes: str  # what follows the command's name
  summary: str
  preset: bool = False  # whether a preset's name may come first, which `defaults` is given
  # The options that --help shows, below what the module's `describe` says of a preset; None: all.
  short: dict[str, Sequence[short_help.Shown]] | None = None
  # Options that decide the defaults of all others: the module has `defaults` of them, whose second result, what was
  # read for that, `run` is given first.
  decisive: tuple[str, ...] = ()
  checks: bool = False  # the module has `check_typed`, which is given the arguments and the names of the options typed
  draws: bool = False  # whether MuJoCo draws: a backend is looked for while the module is imported
  builds: bool = False  # whether `run` is given `cli.read_run`, which makes runs of command lines
  otherwise: tuple[str, ...] = ()  # the arguments where there are none


COMMANDS: Mapping[str, tuple[Subcommand, ...]] = {
  "train": (
    Subcommand(
      "train",
      "[PRESET]",
      "train an agent; without a preset: quick, cartpole_balance on a laptop's CPU",
      preset=True,
      short=short_help.TRAIN,
      decisive=("size", "logdir", "config"),
      checks=True,
      draws=True,
    ),
  ),
  "sweep": (
    Subcommand(
      "sweep", "SPEC", "train many: presets, tasks, seeds and options, one after another or on Ray", builds=True
    ),
  ),
  "eval": (Subcommand("evaluate", "RUN_DIR", "score a trained agent, and film it"),),
  "compare": (Subcommand("compare", "RUN_DIR", "runs beside published scores"),),
  "plot": (Subcommand("plot", "RUN_DIR", "learning curves as a picture or a page; several runs make a mean"),),
  "video": (Subcommand("video", "RUN_DIR", "behaviour beside the world model's dream of it"),),
  "dream": (Subcommand("dream", "RUN_DIR", "a page on which you steer inside the world model"),),
  "export": (Subcommand("export", "RUN_DIR", "the agent as one file that jax alone can run"),),
  "pack": (Subcommand("pack", "RUN_DIR", "the agent as a small run directory, to be given away"),),
  "train-world-model": (
    Subcommand(
      "train_world_model",
      "[PRESET] --data DIR",
      "train a preset's world model alone, on recorded episodes",
      preset=True,
      short=short_help.TRAIN_WORLD_MODEL,
      decisive=("data", "size", "logdir"),
    ),
  ),
  "record": (
    Subcommand(
      "record", "", "play episodes in any environment and keep them on disk", decisive=("policy",), checks=True
    ),
  ),
  "runs": (
    Subcommand(
      "runs", "[DIR]", "the runs in ./runs: task, steps, return, state; RUN_DIR may be `latest`", otherwise=(str(RUNS),)
    ),
  ),
  "list": (Subcommand("listing", "", "presets, model sizes, tasks"),),
  "check-env": (
    Subcommand(
      "check_env", "TASK", "what an environment of your own shows and takes, what is wrong with it, and how to mend it"
    ),
  ),
  "doctor": (  # with a run directory the second, else the first
    Subcommand("doctor", "", "what this machine has, what is wrong, and how to mend it"),
    Subcommand("doctor_run", "RUN_DIR", "whether a run can go on from what its directory holds"),
  ),
}


def help_page() -> str:
  """Writes what `dreamerax --help` prints."""
  return (
    "usage: dreamerax COMMAND [OPTIONS]\n\nTrain latent world models from pixels, and act with them.\n\ncommands:\n"
    + "".join(_line(f"  {name} {row.takes}".rstrip(), row.summary) for name, rows in COMMANDS.items() for row in rows)
    + "\ndreamerax COMMAND --help lists the options of a command; dreamerax --version tells the version."
  )


def _line(head: str, summary: str) -> str:
  break_ = "\n" + " " * _COLUMN if len(head) >= _COLUMN else " " * (_COLUMN - len(head))
  return f"{head}{break_}{summary}\n"
