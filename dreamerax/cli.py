"""The command line: reads arguments with tyro and hands over to one file per command."""

import contextlib
import io
import itertools
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence

import tyro

from dreamerax import __version__, run_list
from dreamerax.config import nearest
from dreamerax.envs import rendering
from dreamerax.envs.dm_control import PREFIX as DMC
from dreamerax.envs.faults import EnvironmentFault
from dreamerax.own_code import Trust
from dreamerax.runtime.errors import Diverged, HostLost, NotSaved

_HELP = """usage: dreamerax COMMAND [OPTIONS]

Train latent world models from pixels, and act with them.

commands:
  train [PRESET]   train an agent; without a preset: quick, cartpole_balance on a laptop's CPU
  sweep SPEC       train many: presets, tasks, seeds and options, one after another or on Ray
  eval RUN_DIR     score a trained agent, and film it
  compare RUN_DIR  runs beside published scores
  plot RUN_DIR     learning curves as a picture or a page; several runs make a mean
  video RUN_DIR    behaviour beside the world model's dream of it
  dream RUN_DIR    a page on which you steer inside the world model
  export RUN_DIR   the agent as one file that jax alone can run
  train-world-model [PRESET] --data DIR
                   train a preset's world model alone, on recorded episodes
  record           play episodes in any environment and keep them on disk
  runs [DIR]       the runs in ./runs: task, steps, return, state; RUN_DIR may be `latest`
  list             presets, model sizes, tasks
  check-env TASK   what an environment of your own shows and takes, what is wrong with it, and how to mend it
  doctor           what this machine has, what is wrong, and how to mend it
  doctor RUN_DIR   whether a run can go on from what its directory holds

dreamerax COMMAND --help lists the options of a command; dreamerax --version tells the version."""
_HOSTS = "dreamerax.runtime.hosts"


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs one command; returns the exit status: 2 for a user's mistake, 1 where the machine or the training fails.

  Either is told in one line on stderr.
  """
  status = 1
  try:
    try:
      status = _run(arguments)
    finally:
      sys.stdout.flush()  # here, where a closed pipe can still be told from a crash
  except BrokenPipeError:  # whoever reads, `| head` say, has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
  except Exception:
    if not _trains_with_others():
      raise
    traceback.print_exc()
  if status and _trains_with_others():
    sys.modules[_HOSTS].leave(status)
  return status


def _trains_with_others() -> bool:
  """Without importing jax, which most commands do not need."""
  return _HOSTS in sys.modules and sys.modules[_HOSTS].trains_with_others()


def _run(arguments: Sequence[str] | None) -> int:
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  if not arguments or arguments[0] in ("-h", "--help", "help"):
    print(_HELP)
    return 0
  if arguments[0] in ("-V", "--version"):
    print(f"dreamerax {__version__}")
    return 0
  name, *rest = arguments
  if name not in _COMMANDS:
    print(f"dreamerax: no command is called {name!r}{nearest(name, _COMMANDS)}\n\n{_HELP}", file=sys.stderr)
    return 2
  try:
    return _COMMANDS[name](run_list.with_latest(name, rest))
  except (ValueError, FileNotFoundError) as error:
    print(f"dreamerax {name}: {error}", file=sys.stderr)
    return 2
  except (rendering.NoRenderer, EnvironmentFault, Diverged, HostLost, NotSaved) as error:
    print(f"dreamerax {name}: {error}", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    return 130  # as a shell counts it; training has its own way to leave


def _train(arguments: list[str]) -> int:
  if (_peek(arguments, "--task") or DMC).startswith(DMC):
    rendering.choose_soon()
  from dreamerax.commands import train

  preset = _pop_preset(arguments)
  return train.run(preset, _read_train(preset, arguments))


def _read_train(preset: str | None, arguments: Sequence[str]):
  from dreamerax.commands import train

  default = train.defaults(preset, trust=_peek_trust(arguments), **_peeked(arguments, "size", "logdir", "config"))
  return tyro.cli(
    train.Arguments,
    default=default,
    args=arguments,
    prog=f"dreamerax train {preset or '[PRESET]'}",
    description=train.describe(preset),
    config=(tyro.conf.AvoidSubcommands,),  # a part that may be absent is so or not by the preset; its fields are flags
  )


def read_run(arguments: Sequence[str]):
  """The run that `dreamerax train` with these arguments makes; nothing is started.

  Raises:
    ValueError: the command would be refused.
  """
  from dreamerax.commands import train

  arguments, printed = list(arguments), io.StringIO()
  preset = _pop_preset(arguments)
  try:
    with contextlib.redirect_stderr(printed):
      return train.to_config(_read_train(preset, arguments))
  except SystemExit:  # tyro has drawn a box around what is wrong
    raise ValueError(" ".join(re.sub("[─│╭╮╰╯]", " ", printed.getvalue()).split())) from None


def _pop_preset(arguments: list[str]) -> str | None:
  return arguments.pop(0) if arguments and not arguments[0].startswith("-") else None


def _sweep(arguments: list[str]) -> int:
  from dreamerax.commands import sweep

  return sweep.run(_parse(sweep.Arguments, "sweep", arguments), read_run)


def _eval(arguments: list[str]) -> int:
  from dreamerax.commands import evaluate

  return evaluate.run(_parse(evaluate.Arguments, "eval", arguments))


def _plot(arguments: list[str]) -> int:
  from dreamerax.commands import plot

  return plot.run(_parse(plot.Arguments, "plot", arguments))


def _video(arguments: list[str]) -> int:
  from dreamerax.commands import video

  return video.run(_parse(video.Arguments, "video", arguments))


def _dream(arguments: list[str]) -> int:
  from dreamerax.commands import dream

  return dream.run(_parse(dream.Arguments, "dream", arguments))


def _train_world_model(arguments: list[str]) -> int:
  from dreamerax.commands import train_world_model

  preset = _pop_preset(arguments)
  given = _peeked(arguments, "data", "size", "logdir")
  default = train_world_model.defaults(preset, trust=_peek_trust(arguments), **given)
  prog = f"dreamerax train-world-model {preset or '[PRESET]'}"
  config = (tyro.conf.AvoidSubcommands,)
  parsed = tyro.cli(train_world_model.Arguments, default=default, args=arguments, prog=prog, config=config)
  return train_world_model.run(preset, parsed)


def _record(arguments: list[str]) -> int:
  from dreamerax.commands import record

  default = record.defaults(_peek(arguments, "--policy"), _peek_trust(arguments))
  return record.run(tyro.cli(record.Arguments, default=default, args=arguments, prog="dreamerax record"))


def _runs(arguments: list[str]) -> int:
  from dreamerax.commands import runs

  return runs.run(_parse(runs.Arguments, "runs", arguments or [str(run_list.RUNS)]))


def _list(arguments: list[str]) -> int:
  from dreamerax.commands import listing

  return listing.run(_parse(listing.Arguments, "list", arguments))


def _check_env(arguments: list[str]) -> int:
  from dreamerax.commands import check_env

  return check_env.run(_parse(check_env.Arguments, "check-env", arguments))


def _doctor(arguments: list[str]) -> int:
  from dreamerax.commands import doctor, doctor_run

  if arguments and not arguments[0].startswith("-"):
    return doctor_run.run(_parse(doctor_run.Arguments, "doctor", arguments))
  return doctor.run(_parse(doctor.Arguments, "doctor", arguments))


def _compare(arguments: list[str]) -> int:
  from dreamerax.commands import compare

  return compare.run(_parse(compare.Arguments, "compare", arguments))


def _export(arguments: list[str]) -> int:
  from dreamerax.commands import export

  return export.run(_parse(export.Arguments, "export", arguments))


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
  "train": _train,
  "sweep": _sweep,
  "eval": _eval,
  "compare": _compare,
  "plot": _plot,
  "video": _video,
  "dream": _dream,
  "export": _export,
  "train-world-model": _train_world_model,
  "record": _record,
  "runs": _runs,
  "list": _list,
  "check-env": _check_env,
  "doctor": _doctor,
}


def _parse(cls, name: str, arguments: list[str]):
  return tyro.cli(cls, args=arguments, prog=f"dreamerax {name}", config=(tyro.conf.PositionalRequiredArgs,))


def _peek(arguments: Sequence[str], flag: str) -> str | None:
  """The value given to `flag`: some options decide what the defaults of all others are."""
  for i, argument in enumerate(arguments):
    if argument == flag and i + 1 < len(arguments):
      return arguments[i + 1]
    if argument.startswith(flag + "="):
      return argument.removeprefix(flag + "=")
  return None


def _peeked(arguments: Sequence[str], *names: str) -> dict[str, str | None]:
  """The values given to options, by name."""
  return {name: _peek(arguments, f"--{name}") for name in names}


def _peek_trust(arguments: Sequence[str]) -> Trust:
  """What --trust says, before anything is read whose code it is about."""
  from dreamerax.commands.trusting import to_trust

  words = (_peek_all(arguments[i:], "--trust") for i in range(len(arguments)))
  return to_trust(next((each for each in words if each is not None), None))


def _peek_all(arguments: Sequence[str], flag: str) -> tuple[str, ...] | None:
  """All words behind `flag`, where `arguments` begin with it."""
  if arguments[0] == flag:
    return tuple(itertools.takewhile(lambda word: not word.startswith("-"), arguments[1:]))
  return (arguments[0].removeprefix(f"{flag}="),) if arguments[0].startswith(f"{flag}=") else None
