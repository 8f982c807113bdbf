"""Describes the process that trains: version, commit, command line, date and devices, as config.json records them."""

import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import jax

from dreamerax import __version__

_SAME = ("version", "commit", "device")  # a run that goes on with others records them too
_GIT_SECONDS = 5


def describe() -> dict[str, str | None]:
  """JSON of this process. commit: of the source tree, with "-dirty" where files differ from it; None where there is no git."""
  devices = jax.devices()
  return {
    **describe_code(),
    "command": shlex.join(sys.orig_argv),
    "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    "device": f"{len(devices)} × {devices[0].device_kind} ({devices[0].platform})",
  }


def describe_code() -> dict[str, str | None]:
  """The part of `describe` that is the same wherever this code runs: version and commit."""
  return {"version": __version__, "commit": _commit(Path(__file__).resolve().parent.parent)}


def is_same(one: dict[str, str | None], other: dict[str, str | None]) -> bool:
  """Whether two processes computed with the same version and commit on the same kind of devices."""
  return all(one.get(name) == other.get(name) for name in _SAME)


def _commit(root: Path) -> str | None:
  if not (root / ".git").exists():  # an installed package may lie in the repository of something else
    return None
  commit, changed = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")
  return f"{commit}-dirty" if commit and changed else commit


def _git(root: Path, *arguments: str) -> str | None:
  command = ["git", "-C", str(root), *arguments]
  try:
    return subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return None
