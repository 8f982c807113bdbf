"""The command line: reads arguments with tyro and hands over to one file per command."""

import importlib
import io
import itertools
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from functools import partial

from dreamerax import __version__, run_list
from dreamerax.commands import options, refusals, short_help
from dreamerax.config import nearest
from dreamerax.envs import rendering
from dreamerax.envs.dm_control import PREFIX as DMC
from dreamerax.own_code import Trust

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

  Either is told in one line on stderr. A bug shows its traceback first.
  """
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="replace")  # a terminal or a locale without ± and ✓ ends no run
  status = 1
  try:
    try:
      status = _run(arguments)
    finally:
      sys.stdout.flush()  # here, where a closed pipe can still be told from a crash
  except BrokenPipeError:  # whoever reads, `| head` say, has seen enough
    _drop_output()
  except OSError as error:
    refusals.say("output", f"cannot be written: {error.strerror}")
    _drop_output()
    status = 1
  if status and _trains_with_others():
    sys.modules[_HOSTS].leave(status)
  return status


def _drop_output() -> None:
  """Python complains when it flushes at the end, unless there is a place to flush to."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    known = f"no command is called {name!r}{nearest(name, _COMMANDS)}"
    print(f"dreamerax: {known}; `dreamerax --help` lists them", file=sys.stderr)
    return 2
  try:
    return _COMMANDS[name](run_list.with_latest(name, rest))
  except BrokenPipeError:
    raise
  except SystemExit as end:  # the command's help page
    return end.code if isinstance(end.code, int) else int(end.code is not None)
  except KeyboardInterrupt:
    return 130  # as a shell counts it; training has its own way to leave
  except Exception as error:
    refusal = refusals.explain(error)
    if refusal is None:
      traceback.print_exc()
      refusal = refusals.Refusal(refusals.FAILURE, refusals.describe_bug(error))
    refusals.say(name, refusal.line)
    return refusal.status


def _train(arguments: list[str]) -> int:
  if (options.value_of(arguments, "--task") or DMC).startswith(DMC):
    rendering.choose_soon()
  from dreamerax.commands import train

  preset = _pop_preset(arguments)
  parsed = _read_train(preset, arguments)
  with options.named(parsed, arguments):
    return train.run(preset, parsed)


def _read_train(preset: str | None, arguments: Sequence[str]):
  from dreamerax.commands import train

  with options.named(train.Arguments, arguments):
    default = train.defaults(preset, trust=_peek_trust(arguments), **_peeked(arguments, "size", "logdir", "config"))
    head, description = f"dreamerax train {preset or '[PRESET]'}", train.describe(preset)
  if _asks_for_help(arguments):
    print(short_help.page(head, description, short_help.TRAIN, default))
    raise SystemExit(0)
  return options.read(train.Arguments, _whole_help(arguments), command=head, default=default, description=description)


def read_run(arguments: Sequence[str]):
  """The run that `dreamerax train` with these arguments makes; nothing is started.

  Raises:
    ValueError: the command would be refused.
  """
  from dreamerax.commands import train

  arguments = list(arguments)
  preset = _pop_preset(arguments)
  return train.to_config(_read_train(preset, arguments))


def _pop_preset(arguments: list[str]) -> str | None:
  return arguments.pop(0) if arguments and not arguments[0].startswith("-") else None


def _train_world_model(arguments: list[str]) -> int:
  from dreamerax.commands import train_world_model

  preset = _pop_preset(arguments)
  with options.named(train_world_model.Arguments, arguments):
    given = _peeked(arguments, "data", "size", "logdir")
    default = train_world_model.defaults(preset, trust=_peek_trust(arguments), **given)
  head = f"dreamerax train-world-model {preset or '[PRESET]'}"
  if _asks_for_help(arguments):
    description = " ".join((train_world_model.Arguments.__doc__ or "").split())
    print(short_help.page(head, textwrap.fill(description, short_help.WIDTH), short_help.TRAIN_WORLD_MODEL, default))
    raise SystemExit(0)
  parsed = options.read(train_world_model.Arguments, _whole_help(arguments), command=head, default=default)
  with options.named(parsed, arguments):
    return train_world_model.run(preset, parsed)


def _record(arguments: list[str]) -> int:
  from dreamerax.commands import record

  default = record.defaults(options.value_of(arguments, "--policy"), _peek_trust(arguments))
  parsed = options.read(record.Arguments, arguments, command="dreamerax record", default=default)
  with options.named(parsed, arguments):
    return record.run(parsed)


def _sweep(arguments: list[str]) -> int:
  from dreamerax.commands import sweep

  return sweep.run(options.read(sweep.Arguments, arguments, command="dreamerax sweep"), read_run)


def _runs(arguments: list[str]) -> int:
  return _plain("runs", "runs", arguments or [str(run_list.RUNS)])


def _doctor(arguments: list[str]) -> int:
  of_run = arguments and not arguments[0].startswith("-")
  return _plain("doctor_run" if of_run else "doctor", "doctor", arguments)


def _plain(module: str, name: str, arguments: list[str]) -> int:
  """A command whose options have defaults of their own."""
  command = importlib.import_module(f"dreamerax.commands.{module}")
  parsed = options.read(command.Arguments, arguments, command=f"dreamerax {name}")
  with options.named(command.Arguments, arguments):
    return command.run(parsed)


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
  "train": _train,
  "sweep": _sweep,
  "eval": partial(_plain, "evaluate", "eval"),
  "compare": partial(_plain, "compare", "compare"),
  "plot": partial(_plain, "plot", "plot"),
  "video": partial(_plain, "video", "video"),
  "dream": partial(_plain, "dream", "dream"),
  "export": partial(_plain, "export", "export"),
  "train-world-model": _train_world_model,
  "record": _record,
  "runs": _runs,
  "list": partial(_plain, "listing", "list"),
  "check-env": partial(_plain, "check_env", "check-env"),
  "doctor": _doctor,
}


def _asks_for_help(arguments: Sequence[str]) -> bool:
  return any(word in ("-h", "--help") for word in arguments)


def _whole_help(arguments: Sequence[str]) -> list[str]:
  return ["--help" if word == "--help-all" else word for word in arguments]


def _peeked(arguments: Sequence[str], *names: str) -> dict[str, str | None]:
  """The values given to options, by name."""
  return {name: options.value_of(arguments, f"--{name}") for name in names}


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
