"""Weights & Biases: online, or below the run directory with WANDB_MODE=offline (`wandb sync` sends that later)."""

import os
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from dreamerax.loggers.base import Logger, RunInfo


class Wandb(Logger):
  """A run of the project `dreamerax`, or of WANDB_PROJECT. The x-axis is `env_steps`, a metric as others are."""

  def __init__(self, info: RunInfo):
    self._wandb = import_module("wandb")
    self._id = info.id or uuid.uuid4().hex[:12]
    info.inside("wandb")
    self._run = self._wandb.init(
      project=os.environ.get("WANDB_PROJECT", "dreamerax"),
      name=info.name,
      id=self._id,
      resume="allow",
      dir=str(info.run_dir),
      config=dict(info.config),
    )
    # wandb's own steps must rise, which those of a run that went back to a checkpoint do not.
    self._run.define_metric("env_steps")
    self._run.define_metric("*", step_metric="env_steps")

  @property
  def id(self) -> str:
    return self._id

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    self._run.log({**values, "env_steps": step})

  def video(self, step: int, name: str, gif: Path) -> None:
    self._run.log({name: self._wandb.Video(str(gif), format="gif"), "env_steps": step})

  def close(self) -> None:
    self._run.finish()
