"""Frozen dataclasses to JSON and back; data only, so that reading somebody's config.json runs no code of theirs.

A class of dreamerax is stored by its name, any other by its import path, which is followed only where it is trusted.
"""

import dataclasses
import difflib
import inspect
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from dreamerax import own_code
from dreamerax.own_code import EVERYTHING, NOBODY, Trust

T = TypeVar("T")
_PART = "part"  # names the class where a field takes any subclass of what it is annotated with
_OURS = __name__.partition(".")[0] + "."
_INTEGERS = range(-(2**63), 2**64)  # what 64 bits hold, with a sign or without


def to_dict(config: Any) -> Any:
  """Nested dataclasses as JSON-ready dicts, each with the name of its class under "part"."""
  if dataclasses.is_dataclass(config) and not isinstance(config, type):
    fields = {field.name: to_dict(getattr(config, field.name)) for field in dataclasses.fields(config)}
    return {_PART: _name(type(config)), **fields}
  if isinstance(config, (tuple, list)):
    return [to_dict(item) for item in config]
  if isinstance(config, Mapping):
    return {name: to_dict(item) for name, item in config.items()}
  return config


def from_dict(cls: type[T], data: Any, path: str = "config", *, complete: bool = True, trust: Trust = NOBODY) -> T:
  """Rebuilds what `to_dict` wrote. Import paths in it that are not trusted are marked `Stored`.

  Args:
    cls: the expected dataclass; data may name a subclass of it that the program has imported, or that is trusted.
    complete: False gives a field that is missing its default, for what a person has written.
    trust: code that the person has named, and that may be imported.

  Raises:
    ValueError: names the field that is missing, unknown or of the wrong type.
    NotTrusted: a part is of a module that is not trusted.
  """
  if not isinstance(data, dict):
    raise ValueError(f"{path}: expected the fields of {cls.__name__}, got {shown(data)}")
  data = dict(data)
  cls = _subclass(cls, data.pop(_PART, cls.__name__), path, trust)
  hints = typing.get_type_hints(cls)
  fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
  for name in data:
    if name not in fields:
      known = nearest(str(name), fields) if isinstance(name, str) else ""
      raise ValueError(f"{path}.{_word(name)}: {cls.__name__} of this version has no such field{known}")
  missing = [name for name in fields if name not in data and (complete or _is_required(fields[name]))]
  if missing:
    raise ValueError(f"{path}.{missing[0]}: is missing; this version of {cls.__name__} needs it")
  values = {name: _decode(hints[name], value, f"{path}.{name}", complete, trust) for name, value in data.items()}
  try:
    return cls(**values)
  except (ValueError, ArithmeticError) as error:
    raise ValueError(f"{path}: {error}") from error


def changed(config: T, changes: typing.Mapping[str, Any]) -> T:
  """A nested dataclass with other values in some fields.

  Args:
    changes: path of a field, "agent.optimizer.learning_rate" say, to its value.

  Raises:
    ValueError: there is no such field (the nearest are named), or a value does not fit.
  """
  data = to_dict(config)
  for path, value in changes.items():
    *parents, name = path.split(".")
    node = data
    for parent in parents:
      if not isinstance(node.get(parent), dict):
        raise ValueError(f"{path}: there is no part {parent!r}{nearest(parent, node)}")
      node = node[parent]
    node[name] = to_dict(value)
  return from_dict(type(config), data, trust=EVERYTHING)  # the person's own program names what it names


def shown(value: Any) -> str:
  """A value that a file has, for an error message: at most some 200 characters, whatever it is."""
  try:
    return _short.repr(value)
  except ValueError:  # Python writes no integer of more than 4,300 digits
    return f"<{type(value).__name__} of too many digits>"


def nearest(name: str, known: typing.Iterable[str], count: int = 3) -> str:
  """The end of an error message: "; did you mean a, b?", or nothing where no known name is close."""
  close = difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)
  return f"; did you mean {', '.join(close)}?" if close else ""


def first_difference(old: Any, new: Any, path: str) -> tuple[str, Any, Any] | None:
  """The first field in which two nested dataclasses differ: its path below `path`, and both values; None where they agree."""
  if type(old) is type(new) and dataclasses.is_dataclass(old):
    names = [field.name for field in dataclasses.fields(old)]
    differences = (first_difference(getattr(old, name), getattr(new, name), f"{path}.{name}") for name in names)
    return next(filter(None, differences), None)
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    differences = (first_difference(old.get(name), new.get(name), f"{path}.{name}") for name in {**old, **new})
    return next(filter(None, differences), None)
  return None if old == new else (path, old, new)


def _is_required(field: dataclasses.Field) -> bool:
  return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _decode(hint: Any, value: Any, path: str, complete: bool, trust: Trust) -> Any:
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    hint = next(argument for argument in arguments if argument is not type(None))
    return None if value is None else _decode(hint, value, path, complete, trust)
  if origin is typing.Literal:
    if value not in arguments:
      raise ValueError(f"{path}={shown(value)}: must be one of {', '.join(map(repr, arguments))}")
    return value
  if origin is tuple:
    if not isinstance(value, list):
      raise ValueError(f"{path}={shown(value)}: must be a list")
    return tuple(_decode(arguments[0], item, f"{path}[{i}]", complete, trust) for i, item in enumerate(value))
  if origin is Mapping:
    if not isinstance(value, dict):
      raise ValueError(f"{path}={shown(value)}: must be parts by name")
    return {name: _decode(arguments[1], item, f"{path}.{_word(name)}", complete, trust) for name, item in value.items()}
  if dataclasses.is_dataclass(hint):
    return from_dict(typing.cast(type, hint), value, path, complete=complete, trust=trust)
  if hint in (int, float):
    return _number(hint, value, path)
  if not isinstance(value, hint):
    raise ValueError(f"{path}={shown(value)}: must be of type {hint.__name__}")
  return trust.read(value) if isinstance(value, str) else value


def _number(hint: type, value: Any, path: str) -> int | float:
  """A number of that type; a whole number stands for a float."""
  if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
    raise ValueError(f"{path}={shown(value)}: must be of type {hint.__name__}")
  if isinstance(value, int) and value not in _INTEGERS:
    raise ValueError(f"{path}={shown(value)}: does not fit in 64 bits")
  if not math.isfinite(value):
    raise ValueError(f"{path}={value}: must be a finite number")
  return hint(value)


def _word(name: Any) -> str:
  """A key of a file, for an error message."""
  return name if isinstance(name, str) and len(name) <= _short.maxstring else shown(name)


def _shortener() -> reprlib.Repr:
  short = reprlib.Repr()
  short.maxlevel, short.maxstring, short.maxother, short.maxlong = 3, 120, 120, 40
  return short


_short = _shortener()


def _name(cls: type) -> str:
  """Names a part as it is stored: a name of ours, or an import path."""
  return cls.__name__ if cls.__module__.startswith(_OURS) else f"{cls.__module__}:{cls.__qualname__}"


def _subclass(cls: type, name: str, path: str, trust: Trust) -> type:
  """The class that a file calls `name`: one that is imported already, or that the person trusts."""
  known, pending = {}, [cls]
  while pending:
    part = pending.pop()
    if not inspect.isabstract(part):
      known[_name(part)] = part
    pending += part.__subclasses__()
  for part in list(known.values()):
    known.setdefault(part.__name__, part)
  if isinstance(name, str) and name in known:
    return known[name]
  if not isinstance(name, str) or ":" not in name:
    close = nearest(name, known) if isinstance(name, str) else ""
    raise ValueError(f"{path}: no {cls.__name__} is called {shown(name)}{close}")
  if name.startswith("__main__:"):
    raise ValueError(
      f"{path}={name!r} was defined in a program that ran by itself: move it to a module, and train again"
    )
  found = own_code.find(trust.read(name), path, "class")
  if not (isinstance(found, type) and issubclass(found, cls)) or inspect.isabstract(found):
    raise ValueError(f"{path}: {name!r} is no {cls.__name__}")
  return found
