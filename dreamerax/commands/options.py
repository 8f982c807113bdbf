"""Reads the options of a command with tyro: what a person types becomes a dataclass, and each mistake one line.

Configurations name their fields (`replay.batch_size=0 must be at least 1`), since programs set them too. A person has
typed an option, so `Options.named` puts the option's name in the message's place (`--replay.batch-size=0 must be ...`).
"""

import contextlib
import dataclasses
import decimal
import io
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from tyro import _errors as parse_errors  # the only place where tyro tells what was wrong, and not how to draw it

from dreamerax.config import nearest

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
_LARGEST = 2**64  # seeds have 64 bits
_WANTED = {
  "INT": "a whole number, such as 100000, 1e5 or 100k",
  "FLOAT": "a finite number",
  "PATH": "a path",
  "STR": "a word",
}
_TOO_LARGE = "does not fit in 64 bits"
_NO_PATH = "is no path; . is the current directory"
# A field's name in a message: one that is followed by its value, or one that no English word looks like.
_FIELD = re.compile(r"(?<![\w./\\'\"`=-])([a-z]\w*(?:\.[a-z]\w*)*)(?:(=True|=False)\b|(?==)|(?![\w./\\'\"`(]))")

_registry = tyro.constructors.ConstructorRegistry()


class Options:
  """The options of a command, and those that a person has typed."""

  def __init__(self, part: Any, arguments: Sequence[str]):
    """part: the dataclass that the options are fields of, or an instance that has their defaults."""
    self._part = part
    self._typed = {f"--{_hyphenated(name)}" for name in typed(arguments)}

  def known(self) -> list[str]:
    """All of them: ["--seed", "--replay.batch-size", ...]."""
    return list(_flags(self._part, "--"))

  def named(self, message: str) -> str:
    """`message` with options in place of the fields that it names."""
    known = self.known()

    def replace(match: re.Match) -> str:
      field, truth = match[1], match[2]
      if not truth and not match.string.startswith("=", match.end()) and not re.search(r"[._]", field):
        return match[0]
      option = self._option(field, known)
      if option is None:
        return match[0]
      return re.sub(r"([^.-][^.]*)$", r"no-\1", option) if truth == "=False" else option

    return _FIELD.sub(replace, message)

  def _option(self, field: str, known: Sequence[str]) -> str | None:
    """The option that a field stands for; None where there is none, or where it could be one of several."""
    name = _hyphenated(field)
    for group in ("", "env.", "loop."):  # whose options have no prefix
      if name.startswith(group) and f"--{name.removeprefix(group)}" in known:
        return f"--{name.removeprefix(group)}"
    ends = [option for option in known if option.endswith(f".{name}")]
    typed = [option for option in ends if option in self._typed]
    found = typed or ends
    return found[0] if len(found) == 1 else None


def read(
  part: Any, arguments: Sequence[str], *, command: str, default: Any = None, description: str | None = None
) -> Any:
  """The dataclass `part` as `arguments` set it.

  Args:
    command: what a person typed before the options, for the help page.
    default: an instance with the defaults of all options; without it, those of `part`, whose fields without a default
      are positional.

  Raises:
    ValueError: one line that names the option, what was given, and what may be given.
    SystemExit: the help page was asked for, and printed.
  """
  options, drawn = Options(part if default is None else default, arguments), io.StringIO()

  def refuse(event: parse_errors.ParseErrorEvent) -> None:
    if line := _describe(event, options, arguments):
      raise ValueError(line)

  try:
    with parse_errors.on_parse_error(refuse), contextlib.redirect_stderr(drawn):
      return tyro.cli(
        part,
        default=tyro.MISSING_NONPROP if default is None else default,
        args=list(arguments),
        prog=command,
        description=description,
        # A part that may be absent is so or not by the default; its fields are options, and no subcommands.
        config=(tyro.conf.AvoidSubcommands, tyro.conf.PositionalRequiredArgs),
        registry=_registry,
      )
  except ValueError as error:
    raise ValueError(options.named(str(error))) from error
  except SystemExit as end:
    if end.code:
      raise ValueError(" ".join(re.sub("[─│╭╮╰╯]", " ", drawn.getvalue()).split())) from None
    raise


@contextlib.contextmanager
def named(part: Any, arguments: Sequence[str]) -> Iterator[None]:
  """A ValueError that is raised within names options in place of the fields of `part`."""
  try:
    yield
  except ValueError as error:
    raise ValueError(Options(part, arguments).named(str(error))) from error


def value_of(arguments: Sequence[str], option: str) -> str | None:
  """Returns what was typed for `option`, the last time that it was: some options decide
  the defaults of all others."""
  for i in reversed(range(len(arguments))):
    if arguments[i] == option and i + 1 < len(arguments) and not arguments[i + 1].startswith("--"):
      return arguments[i + 1]
    if arguments[i].startswith(option + "="):
      return arguments[i].removeprefix(option + "=")
  return None


def typed(arguments: Sequence[str]) -> set[str]:
  """The options in `arguments`, as fields are called: {"rendering", "workers.gpus"}."""
  return {word[2:].partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--")}


def whole(text: str) -> int:
  """A whole number as people write it: 100000, 100_000, 1e5, 100k, 1.5M.

  Raises:
    ValueError: it is none, or has more than 64 bits.
  """
  digits = text.strip().lower()
  unit = _UNITS.get(digits[-1:], 1)
  try:
    number = decimal.Decimal(digits[:-1] if unit > 1 else digits)
    if not number.is_finite() or (number.adjusted() < 20 and number * unit != int(number * unit)):
      raise ValueError
  except (ValueError, decimal.DecimalException):
    raise ValueError(f"must be {_WANTED['INT']}") from None
  if number.adjusted() >= 20 or not -_LARGEST // 2 <= number * unit < _LARGEST:
    raise ValueError(_TOO_LARGE)
  return int(number * unit)


@_registry.primitive_rule
def _read_whole(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
  return _rule(int, "INT", whole) if info.type is int else None


@_registry.primitive_rule
def _read_number(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
  def number(text: str) -> float:
    if not math.isfinite(float(text)):
      raise ValueError
    return float(text)

  return _rule((int, float), "FLOAT", number) if info.type is float else None


@_registry.primitive_rule
def _read_path(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
  def path(text: str) -> Path:
    if not text or "\0" in text:
      raise ValueError(_NO_PATH)
    return Path(text)

  return _rule(Path, "PATH", path) if info.type is Path else None


def _rule(types: Any, metavar: str, read: Any) -> tyro.constructors.PrimitiveConstructorSpec:
  return tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar=metavar,
    instance_from_str=lambda words: read(words[0]),
    is_instance=lambda value: isinstance(value, types) and not isinstance(value, bool),
    str_from_instance=lambda value: [str(value)],
  )


def _describe(event: parse_errors.ParseErrorEvent, options: Options, arguments: Sequence[str]) -> str | None:
  """Says in one line what is wrong; None where tyro tells of something else, in a
  box."""
  if isinstance(event, parse_errors.UnrecognizedArgs):
    unknown = [token.partition("=")[0] for token in event.tokens if token.startswith("-")]
    if not unknown:
      return f"{event.tokens[0]!r} belongs to no option; `{event.prog} --help` lists them"
    return "; ".join(f"{name}: there is no such option{_near(name, options)}" for name in unknown)
  if isinstance(event, parse_errors.MissingArgs):
    argument = event.missing_arguments[0].arg
    help_text = argument.field.helptext
    return f"{_positional(argument)} is missing: {help_text() if callable(help_text) else help_text}"
  if isinstance(event, parse_errors.InvalidChoice):
    choices = f"{', '.join(event.choices)}{nearest(event.value, event.choices)}"
    return f"{_label(event.argument)}={event.value!r} is not one of {choices}"
  if isinstance(event, parse_errors.BadValue):
    return f"{_label(event.argument)} needs a value: {_wanted(event.argument)}"
  if isinstance(event, parse_errors.InstantiationFailure) and event.argument is not None:
    return _describe_value(event.argument, event.message, arguments)
  return event.message if isinstance(event, parse_errors.InstantiationFailure) else None


def _describe_value(argument: Any, reason: str, arguments: Sequence[str]) -> str:
  label = _label(argument)
  given = f"={value_of(arguments, label) or ''!r}" if label.startswith("-") else ""
  if "INT" in argument.lowered.metavar or "FLOAT" in argument.lowered.metavar:
    reason = _TOO_LARGE if _TOO_LARGE in reason else f"must be {_wanted(argument)}"
  elif "PATH" in argument.lowered.metavar:
    reason = _NO_PATH
  return f"{label}{given} {reason}"


def _label(argument: Any) -> str:
  return _positional(argument) if argument.is_positional() else argument.lowered.name_or_flags[0]


def _positional(argument: Any) -> str:
  return str(argument.field.intern_name).upper()


def _wanted(argument: Any) -> str:
  metavar = argument.lowered.metavar
  kinds = [words for kind, words in _WANTED.items() if kind in metavar]
  if not kinds:
    return metavar
  return " or ".join([*(["None"] if "None" in metavar else []), *kinds])


def _near(name: str, options: Options) -> str:
  """Options that end as `name` does come first: --learning-rate is --agent.optimizer.learning-rate."""
  known = options.known()
  ends = [option for option in known if option.endswith("." + _hyphenated(name.lstrip("-")))]
  return f"; did you mean {', '.join(ends[:3])}?" if ends else nearest(_hyphenated(name), known)


def _flags(part: Any, prefix: str) -> Iterator[str]:
  if isinstance(part, Mapping):
    for name, value in part.items():
      yield from _flags(value, f"{prefix}{_hyphenated(name)}.")
    return
  hints = typing.get_type_hints(part if isinstance(part, type) else type(part), include_extras=True)
  for field in dataclasses.fields(part):
    hint, value = hints[field.name], getattr(part, field.name, None)
    name = field.name
    if typing.get_origin(hint) is typing.Annotated:
      name = next((mark.name for mark in hint.__metadata__ if getattr(mark, "name", None) is not None), name)
      hint = typing.get_args(hint)[0]
    inner = (
      value
      if dataclasses.is_dataclass(value) or isinstance(value, Mapping)
      else hint
      if dataclasses.is_dataclass(hint)
      else None
    )
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    if inner is not None:
      yield from _flags(inner, f"{prefix}{_hyphenated(name)}." if name else prefix)
    elif not (required and isinstance(part, type)):  # which is positional
      yield prefix + _hyphenated(name)


def _hyphenated(name: str) -> str:
  return name.replace("_", "-")
