"""Loggers that write into the run directory, or fail in the ways that loggers fail."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import imageio.v3 as imageio

from dreamerax.loggers.base import Logger, RunInfo


class Toy(Logger):
  """Writes what it is given to toy.jsonl, as every other logger might."""

  def __init__(self, info: RunInfo):
    self._id = info.id or f"began-{time.time_ns()}"
    self._file = (info.run_dir / "toy.jsonl").open("a")
    self._write("open", self._id, dict(info.config))

  @property
  def id(self) -> str:
    return self._id

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    self._write("scalars", step, dict(values))

  def video(self, step: int, name: str, gif: Path) -> None:
    self._write("video", step, name, imageio.imread(gif).shape)

  def close(self) -> None:
    self._write("close")

  def _write(self, *what) -> None:
    self._file.write(json.dumps(what) + "\n")
    self._file.flush()


class NoStart(Toy):
  def __init__(self, info: RunInfo):
    raise RuntimeError("no network\nand more of it")


class Leaves(Toy):
  def __init__(self, info: RunInfo):
    sys.exit("not here")


class Fails(Toy):
  """At every second step."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    if step % 2:
      raise OSError("connection lost")
    super().scalars(step, values)


class Dies(Toy):
  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    import os

    os.abort()


class HangsAtStart(Toy):
  def __init__(self, info: RunInfo):
    time.sleep(1000)


class BeginsSlowly(Toy):
  """Not before the run has waited in vain."""

  def __init__(self, info: RunInfo):
    time.sleep(3)
    super().__init__(info)


class Hangs(Toy):
  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    time.sleep(1000)


class HangsAtEnd(Toy):
  def close(self) -> None:
    time.sleep(1000)
