"""The command line: reads arguments with tyro and hands over to one file per command."""

import importlib
import io
import itertools
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dreamerax import __version__, run_list
from dreamerax.commands import options, refusals, short_help
from dreamerax.commands.table import COMMANDS, Subcommand, help_page
from dreamerax.config import nearest
from dreamerax.envs.suites import registry, rendering
from dreamerax.own_code import Trust

if TYPE_CHECKING:  # most commands do without jax
  from dreamerax.run_config import RunConfig

_HOSTS = "dreamerax.runtime.devices.hosts"
_DRAWN = tuple(suite.prefix for suite in registry.SUITES if suite.draws)  # the default task's first


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs one command; returns the exit status: 2 for a user's mistake, 1 where the machine or the training fails.

  Either is told in one line on stderr. A bug shows its traceback first.
  """
  _make_output_safe()
  status = 1
  try:
    try:
      status = _run(arguments)
    finally:
      sys.stdout.flush()  # here, where a closed pipe can still be told from a crash
  except BrokenPipeError:  # whoever reads, `| head` say, has seen enough
    _drop_output()
  except OSError as error:
    print(f"dreamerax: the output cannot be written: {error.strerror}", file=sys.stderr)
    _drop_output()
    status = 1
  if status and _trains_with_others():
    sys.modules[_HOSTS].leave(status)
  return status


def _make_output_safe() -> None:
  """A terminal or a locale without ± and ✓ ends no run, nor does a stream that was closed before the program began."""
  for name in ("stdout", "stderr"):
    stream = getattr(sys, name)
    if stream is None:
      setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    elif isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="replace")


def _drop_output() -> None:
  """Python complains when it flushes at the end, unless there is a place to flush to."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _trains_with_others() -> bool:
  """Whether other processes train with this one; does not import jax, which most
  commands do not need."""
  return _HOSTS in sys.modules and sys.modules[_HOSTS].trains_with_others()


def _run(arguments: Sequence[str] | None) -> int:
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  if not arguments or arguments[0] in ("-h", "--help", "help"):
    print(help_page())
    return 0
  if arguments[0] in ("-V", "--version"):
    print(f"dreamerax {__version__}")
    return 0
  name, *rest = arguments
  if name not in COMMANDS:
    known = f"no command is called {name!r}{nearest(name, COMMANDS)}"
    print(f"dreamerax: {known}; `dreamerax --help` lists them", file=sys.stderr)
    return 2
  try:
    return _start(name, run_list.with_latest(name, rest))
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


def _start(name: str, arguments: list[str]) -> int:
  row = COMMANDS[name][-1 if arguments and not arguments[0].startswith("-") else 0]
  if row.draws and (options.value_of(arguments, "--task") or _DRAWN[0]).startswith(_DRAWN):
    rendering.choose_soon()
  parsed, begun = _read(name, row, arguments or list(row.otherwise))
  given = (*([begun] if row.decisive else []), parsed, *([read_run] if row.builds else []))
  # What may be positional is no option, and only the class tells that; only the instance has a preset's parts.
  try:
    with options.named(parsed if row.decisive else type(parsed), arguments):
      if row.checks:
        _module(row).check_typed(parsed, options.typed(arguments))
      return _module(row).run(*given)
  except SystemExit as end:
    if isinstance(end.code, int) and end.code:
      raise  # a signal's
    raise ValueError(f"code that the command called ended it by sys.exit({end.code!r})") from end


def read_run(arguments: Sequence[str]) -> "RunConfig":
  """The run that `dreamerax train` with these arguments makes; nothing is started.

  Raises:
    ValueError: the command would be refused.
  """
  row = COMMANDS["train"][0]
  return _module(row).to_config(_read("train", row, list(arguments))[0])


def _read(name: str, row: Subcommand, arguments: list[str]) -> tuple[Any, Any]:
  """The command's Arguments, and what was read for their defaults."""
  module, default, begun, description = _module(row), None, None, None
  preset = arguments.pop(0) if row.preset and arguments and not arguments[0].startswith("-") else None
  if row.decisive:
    with options.named(module.Arguments, arguments):
      named = {option: options.value_of(arguments, f"--{option}") for option in row.decisive}
      leading = {"preset": preset} if row.preset else {}
      default, begun = module.defaults(**leading, **named, trust=_peek_trust(arguments))
  command = f"dreamerax {name}"
  if row.short:
    command, description = f"{command} {preset or '[PRESET]'}", module.describe(preset)
    if {"-h", "--help"} & set(arguments):
      print(short_help.page(command, description, row.short, default))
      raise SystemExit(0)
    arguments = ["--help" if word == "--help-all" else word for word in arguments]
  parsed = options.read(module.Arguments, arguments, command=command, default=default, description=description)
  return parsed, begun


def _module(row: Subcommand) -> Any:
  return importlib.import_module(f"dreamerax.commands.{row.module}")


def _peek_trust(arguments: Sequence[str]) -> Trust:
  """Reads --trust before anything is read whose code it is about."""
  from dreamerax.commands.trusting import to_trust

  words = (_peek_all(arguments[i:], "--trust") for i in reversed(range(len(arguments))))
  return to_trust(next((each for each in words if each is not None), None))


def _peek_all(arguments: Sequence[str], flag: str) -> tuple[str, ...] | None:
  """All words behind `flag`, where `arguments` begin with it."""
  if arguments[0] == flag:
    return tuple(itertools.takewhile(lambda word: not word.startswith("-"), arguments[1:]))
  return (arguments[0].removeprefix(f"{flag}="),) if arguments[0].startswith(f"{flag}=") else None
