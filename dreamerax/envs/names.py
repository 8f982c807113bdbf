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
