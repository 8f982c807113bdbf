"""Code of a person's own, by import path `package.module:name`: when it may run, and how it is found.

Importing runs code, so a file from elsewhere must not decide what is imported. Whatever reads a file marks the import paths
in it as `Stored`, except those that its caller trusts; whatever imports refuses a path that is marked.
"""

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

_PACKAGE = Path(__file__).parent
_KINDS = ("vector:", "jit:")  # say of what kind of factory the import path behind them is


class NotTrusted(ValueError):
  """A file names code that the person has not named."""

  def __init__(self, paths: Iterable[str]):
    """paths: of that code."""
    self.paths = frozenset(paths)
    modules = sorted({module_of(path) for path in self.paths})
    super().__init__(
      f"code that a file names runs only where you name it too: {', '.join(sorted(self.paths))}; give --trust "
      f"{' '.join(modules)} if you trust it (in Python: the argument trust)"
    )


class Stored(str):
  """An import path that a file has and nobody has named."""

  __slots__ = ()


@dataclass(frozen=True)
class Trust:
  """The code that a person has named, and that may run because a file names it too."""

  names: frozenset[str] = frozenset()  # packages, modules, or paths module:name
  everything: bool = False

  @classmethod
  def of(cls, given: "Trusted") -> "Trust":
    """Reads what a person says: True trusts everything, names trust these packages,
    modules or `module:name`."""
    if isinstance(given, Trust):
      return given
    if isinstance(given, bool):
      return cls(everything=given)
    return cls(frozenset([given] if isinstance(given, str) else given))

  def adding(self, *names: str) -> "Trust":
    """Trusts these, too."""
    return Trust(self.names | {*names}, self.everything)

  def allows(self, path: str) -> bool:
    """Whether `path`, `module:name` or `gym/module:id`, is named: itself, its module or a package around it."""
    parts = module_of(path).split(".")
    around = {".".join(parts[: i + 1]) for i in range(len(parts))}
    return self.everything or not self.names.isdisjoint({path, import_path(path), *around})

  def read(self, text: str) -> str:
    """A string of a file: marked where it is an import path that nobody has named."""
    return Stored(text) if ":" in text and not self.allows(text) else text


Trusted: TypeAlias = Trust | bool | str | Iterable[str]
NOBODY = Trust()
EVERYTHING = Trust(everything=True)


def import_path(path: str) -> str:
  """`path` without the word in front that says of what kind it is: "a.b:name" of "vector:a.b:name"."""
  kind = next((kind for kind in _KINDS if path.startswith(kind) and ":" in path[len(kind) :]), "")
  return path[len(kind) :]


def module_of(path: str) -> str:
  """The module that `path` imports: "a.b" of "a.b:name", of "vector:a.b:name" and of "gym/a.b:Id-v0"."""
  return import_path(path).partition(":")[0].rpartition("/")[2]


def check_named(path: str) -> None:
  """
  Raises:
    NotTrusted: a file has the import path, and the person has not named it.
  """
  if isinstance(path, Stored):
    raise NotTrusted([path])


def find(path: str, what: str, kind: str = "function") -> Any:
  """Finds what `module:name` stands for, be it behind a word of its kind; the module is imported.

  Args:
    what: as errors call it.
    kind: of what the path should stand for.

  Raises:
    NotTrusted: a file has the path, and the person has not named it.
    ValueError: there is no such module or name, or importing it raises.
  """
  found = imported(path, what)
  module_name, _, name = import_path(path).partition(":")
  for part in name.split("."):
    found = getattr(found, part, None)
  if found is None:
    raise ValueError(f"{what}={path!r}: the module {module_name!r} has no {kind} {name!r}.")
  return found


def imported(path: str, what: str) -> Any:
  """The module of `module:name` or `gym/module:id`. Arguments and errors are those of `find`."""
  check_named(path)
  module_name = module_of(path)
  if module_name.startswith("."):
    raise ValueError(
      f"{what}={path!r}: {module_name!r} is relative, and there is no package that it is relative to: name the module whole, "
      "as package.module"
    )
  try:
    return _import(module_name)
  except Exception as error:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
      raise ValueError(
        f"{what}={path!r}: cannot import {module_name!r} ({error}). Install its package, run this in its folder, or set "
        "PYTHONPATH to it."
      ) from error
    raise ValueError(f"{what}={path!r}: importing {module_name!r} failed: {account(error)}") from error


def _import(name: str) -> Any:
  """The module, also from the current directory, which Python searches for some ways to start a program and not for others."""
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    folder = os.getcwd()
    if error.name not in (name, name.partition(".")[0]) or folder in sys.path:
      raise
    sys.path.append(folder)  # behind all else, and only once a person has named a module that may be there
    importlib.invalidate_caches()
    return importlib.import_module(name)


def account(error: BaseException) -> str:
  """An exception of a person's code in one line, with the file and line of theirs that it passed last."""
  try:
    said = " ".join(f"{type(error).__name__}: {error}".split())
  except Exception:  # of their class
    said = type(error).__name__
  frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
  return f"{said} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else said


def _is_theirs(file: str) -> bool:
  """Whether a source file is neither ours, nor Python's, nor of an installed package."""
  folders = (str(_PACKAGE), *(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")))
  return not file.startswith("<") and not any(file.startswith(folder + os.sep) for folder in folders)
