"""Saves the part of a checkpoint that each host but the first adds: its own arrays, and where its replay's log ends.

A part is written beside the checkpoint, as <env steps>.host-<i>, and moved into it by host 0, whose manifest covers it. So a
checkpoint has its name only with every part in it.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax.runtime.checkpoint import array_file

_ARRAYS, _PART = "arrays.bin", "part.json"
_NAME = re.compile(r"\d+\.host-\d+")


def write(
  folder: Path, step: int, host: int, log: Mapping[str, Any], index: dict[str, Any], arrays: list[np.ndarray]
) -> str | None:
  """Writes a host's part beside the checkpoints; returns why that failed.

  Args:
    folder: of the checkpoints.
    log: end of the host's log.
    index, arrays: as `array_file.flatten` gives them.
  """
  path = folder / f"{step}.host-{host}"
  try:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    (path / _PART).write_text(json.dumps({"log": log, "extra": index}))
    with (path / _ARRAYS).open("wb") as file:
      array_file.write(file, arrays)
  except OSError as error:
    return str(error)
  return None


def take(folder: Path, step: int, new: Path, hosts: int) -> list[Mapping[str, Any]]:
  """Moves the parts of hosts 1, 2, ... into a checkpoint that is being written; returns the ends of their logs.

  Raises:
    OSError: a part cannot be read or moved.
  """
  ends = []
  for host in range(1, hosts):
    path = (folder / f"{step}.host-{host}").rename(new / f"host-{host}")
    ends.append(json.loads((path / _PART).read_text())["log"])
  return ends


def read(checkpoint: Path, host: int) -> dict[str, Any]:
  """The arrays that a host has put into a checkpoint."""
  path = checkpoint / f"host-{host}"
  with (path / _ARRAYS).open("rb") as file:
    return array_file.read(file, json.loads((path / _PART).read_text())["extra"])


def clean_up(folder: Path) -> None:
  """Removes parts that belong to no checkpoint."""
  for path in folder.iterdir():
    if _NAME.fullmatch(path.name):
      shutil.rmtree(path)
