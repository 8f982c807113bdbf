"""Words the errors about a task that cannot be made."""

import difflib
from collections.abc import Iterable


def near(task: str, known: Iterable[str], prefix: str) -> str:
  """The nearest names, as a sentence."""
  close = difflib.get_close_matches(task if task.startswith(prefix) else prefix + task, list(known), n=3, cutoff=0.5)
  return f" Did you mean {', '.join(close)}?" if close else " `dreamerax list` names the tasks."


def missing(task: str, package: str, extra: str) -> ValueError:
  """The error where a suite's packages are not installed."""
  return ValueError(f"task={task!r} needs {package}, which is not installed: `make setup EXTRAS=dev,{extra}`.")


def check_listed(task: str, known: Iterable[str], *, prefix: str, of: str, package: str, extra: str) -> None:
  """Whether a suite has a task.

  Args:
    known: all tasks of the suite; none where its packages are not installed.
    of: what a task that it does not have is: "not of MiniGrid".

  Raises:
    ValueError: there is no such task (names the nearest), or `package` is not installed.
  """
  known = tuple(known)
  if not known:
    raise missing(task, package, extra)
  if task not in known:
    raise ValueError(f"task={task!r} is {of}.{near(task, known, prefix)}")
