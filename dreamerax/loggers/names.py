"""Names the loggers, and checks that their packages are installed."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

LoggerName = Literal["wandb", "mlflow", "trackio"]
CLASSES: Mapping[str, str] = {
  "wandb": "dreamerax.loggers.wandb:Wandb",
  "mlflow": "dreamerax.loggers.mlflow:Mlflow",
  "trackio": "dreamerax.loggers.trackio:Trackio",
}


def check_installed(names: Sequence[str]) -> None:
  """
  Raises:
    ValueError: a logger's package is missing; names what installs it.
  """
  for name in names:
    if find_spec(name) is None:
      raise ValueError(
        f"--log {name}: the package {name} is not installed: `make setup EXTRAS=dev,{name}`, or leave {name} out"
      )
