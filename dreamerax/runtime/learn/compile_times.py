"""Remembers how long updates took to compile on this machine, for the next start to tell."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

from dreamerax.files import write_whole
from dreamerax.runtime.learn.compilation import Program, Source, trace

_NAME = "compile_times.json"  # beside the programs in the compile cache
_KEPT = 1000  # entries, the newest
_UNKNOWN = "usually 20 s to 2 min on a CPU, once for these sizes"
_BEFORE = "tracing the update"


class Compiler:
  """Compiles an update, and tells what it does meanwhile and how long that took the last time.

  A program that was compiled before is read from the compile cache. Of one that was not, the last program of the same sizes
  gives the estimate.
  """

  def __init__(self, say: Callable[[str], None], times: Path | None = None):
    """
    Args:
      say: is told once, before the compiler begins.
      times: the file in which they are kept; by default it lies beside the compile cache, where there is one.
    """
    self._say, self._path = say, times or _beside_cache()
    self._what, self._expected, self._began = _BEFORE, None, time.monotonic()

  @property
  def status(self) -> str:
    """Says what is being done and for how long it has been."""
    seconds = time.monotonic() - self._began
    expected = f" of about {duration(self._expected)}" if self._expected and seconds <= self._expected else ""
    return f"{self._what}, {duration(seconds)}{expected}"

  def compile(self, source: Source) -> Program:
    """Waits for the compiler."""
    lowered = trace(source).lower()
    times = _read(self._path)
    same, alike = _digest(lowered.as_text()), _digest(str(jax.tree.map(_shape, source.arguments)))
    known = times.get(same)
    self._began = time.monotonic()
    if known is not None:
      self._what, self._expected = "loading the compiled update", None
    else:
      self._what, self._expected = "compiling the update", times.get(alike)
      about = f"about {duration(self._expected)}, as the last time" if self._expected else _UNKNOWN
      self._say(f"compiling the update: {about}")
    program = lowered.compile()
    took = time.monotonic() - self._began
    if known is None or took > known / 2:  # else it came from the cache
      _write(self._path, {same: took, alike: took})
    return program


def duration(seconds: float) -> str:
  """Writes seconds for people: "42 s", "3 min 5 s"."""
  minutes, rest = divmod(max(0, round(seconds)), 60)
  return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _shape(leaf: Any) -> str:
  return f"{leaf.dtype}{leaf.shape}"


def _digest(text: str) -> str:
  device = jax.devices()[0]
  parts = (jax.__version__, device.device_kind, len(jax.devices()), os.cpu_count(), text)
  return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _beside_cache() -> Path | None:
  folder = jax.config.values["jax_compilation_cache_dir"]
  return Path(folder) / _NAME if folder and "://" not in folder else None


def _read(path: Path | None) -> dict[str, float]:
  """{} where there is nothing that can be read: an estimate is a convenience."""
  try:
    stored = json.loads(path.read_text()) if path else {}
    return {name: float(seconds) for name, seconds in stored.items() if float(seconds) > 0}
  except (OSError, ValueError, TypeError, AttributeError):
    return {}


def _write(path: Path | None, times: Mapping[str, float]) -> None:
  if path is None:
    return
  stored = {name: seconds for name, seconds in _read(path).items() if name not in times}
  stored |= {name: round(seconds, 2) for name, seconds in times.items()}
  with suppress(OSError, ValueError):
    write_whole(path, json.dumps(dict(list(stored.items())[-_KEPT:])))
