"""MLflow: the server of MLFLOW_TRACKING_URI, or a database in the run directory."""

import os
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from dreamerax.loggers.base import Logger, RunInfo, flatten

_LONGEST = 500  # characters of a parameter
_AT_ONCE = 100  # parameters in a request


class Mlflow(Logger):
  """A run of the experiment `dreamerax`, or of MLFLOW_EXPERIMENT_NAME, with the settings as parameters. Steps are env steps."""

  def __init__(self, info: RunInfo):
    self._mlflow = import_module("mlflow")
    server = os.environ.get("MLFLOW_TRACKING_URI")
    self._client = self._mlflow.MlflowClient(server or f"sqlite:///{info.inside('mlflow.db')}")
    if info.id is None:
      artifacts = None if server else info.inside("mlflow").as_uri()
      self._id = self._begin(info, artifacts)
    else:
      self._id = info.id
      self._client.update_run(self._id, status="RUNNING")

  @property
  def id(self) -> str:
    return self._id

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    now = int(time.time() * 1000)
    metric = self._mlflow.entities.Metric
    self._client.log_batch(self._id, [metric(name, value, now, step) for name, value in values.items()])

  def video(self, step: int, name: str, gif: Path) -> None:
    self._client.log_artifact(self._id, str(gif), f"{name}/{step}")

  def close(self) -> None:
    self._client.set_terminated(self._id)

  def _begin(self, info: RunInfo, artifacts: str | None) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "dreamerax")
    known = self._client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else self._client.create_experiment(name, artifact_location=artifacts)
    identity = self._client.create_run(experiment, run_name=info.name).info.run_id
    param: Any = self._mlflow.entities.Param
    params = [param(name, str(value)[:_LONGEST]) for name, value in flatten(info.config).items()]
    for begin in range(0, len(params), _AT_ONCE):
      self._client.log_batch(identity, params=params[begin : begin + _AT_ONCE])
    return identity
