"""Turns errors that end a command into an exit status and one line."""

import errno
import re
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from dreamerax.envs.faults import EnvironmentFault
from dreamerax.envs.suites.rendering import NoRenderer
from dreamerax.ops.errors import NoPlatform
from dreamerax.runtime.errors import Diverged, HostLost, NotSaved
from dreamerax.words import printable

MISTAKE, FAILURE = 2, 1  # of the person; of the machine, the environment or the training
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EROFS)
_LONGEST = 4000  # characters of a line: a message of somebody else's code may be of any length
_PACKAGE = str(Path(__file__).resolve().parent.parent)


class Refusal(NamedTuple):
  """The end of a command that does not do what it was asked for."""

  status: int
  line: str


def explain(error: Exception) -> Refusal | None:
  """None for an exception that only a bug raises."""
  if isinstance(error, NoRenderer | EnvironmentFault | NoPlatform | Diverged | HostLost | NotSaved):
    return Refusal(FAILURE, _one_line(str(error)))
  if isinstance(error, ValueError):
    return Refusal(MISTAKE, _one_line(str(error)))
  if isinstance(error, OSError):
    return _system(error)
  if isinstance(error, MemoryError):
    return Refusal(FAILURE, f"there is not enough memory{_because(error)}: ask for less, or use a larger machine")
  if isinstance(error, OverflowError):
    return Refusal(MISTAKE, f"a number is too large{_because(error)}")
  if isinstance(error, RecursionError):
    return Refusal(MISTAKE, "a file or an option is nested too deeply to be read")
  if "RESOURCE_EXHAUSTED" in str(error):
    return Refusal(FAILURE, f"the device has not enough memory: {_one_line(str(error))[:300]}")
  return None


def describe_bug(error: Exception) -> str:
  """One line that follows the traceback."""
  frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(_PACKAGE)]
  where = f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
  text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
  return f"{_one_line(text)}{where}. This is a bug: report the lines above with what `dreamerax doctor` prints"


def say(name: str, line: str) -> None:
  """Tells on stderr how a command ended."""
  print(f"dreamerax {name}: {line}", file=sys.stderr)


def _system(error: OSError) -> Refusal:
  reason = error.strerror or str(error) or type(error).__name__
  if isinstance(error, PermissionError):
    reason = f"{reason}: this user may not read or write it"
  place = f"{_one_line(str(error.filename))}: " if error.filename not in (None, "") else ""
  if len(place) > 300:
    place = f"{place[:150]}...{place[-50:]}"
  return Refusal(FAILURE if error.errno in _MACHINE else MISTAKE, _one_line(f"{place}{reason}"))


def _because(error: Exception) -> str:
  return f" ({_one_line(str(error))})" if str(error) else ""


def _one_line(text: str) -> str:
  line = printable(re.sub(r"\s*[\r\n]+\s*", " ", text.strip()))
  return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
