"""Trackio: a database on this machine (below TRACKIO_DIR), which `trackio show` draws."""

import os
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from dreamerax.loggers.base import Logger, RunInfo, flatten


class Trackio(Logger):
  """A run of the project `dreamerax`, or of TRACKIO_PROJECT, which its name identifies. Steps are env steps."""

  def __init__(self, info: RunInfo):
    self._trackio = import_module("trackio")
    self._id = info.id or f"{info.name}-{uuid.uuid4().hex[:6]}"
    self._trackio.init(
      os.environ.get("TRACKIO_PROJECT", "dreamerax"),
      name=self._id,
      resume="allow",
      config=flatten(info.config),
      embed=False,
      auto_log_gpu=False,
      auto_log_cpu=False,
    )

  @property
  def id(self) -> str:
    return self._id

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    self._trackio.log(dict(values), step=step)

  def video(self, step: int, name: str, gif: Path) -> None:
    self._trackio.log({name: self._trackio.Video(str(gif), format="gif")}, step=step)

  def close(self) -> None:
    self._trackio.finish()
