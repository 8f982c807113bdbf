"""Looks at an environment in a process of its own, where what it imports, prints, begins and breaks stays."""

import functools
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dreamerax.envs.check import Met
from dreamerax.envs.faults import last_line
from dreamerax.envs.suites import rendering
from dreamerax.envs.violations import Violation
from dreamerax.envs.workers.process import START_SECONDS, WorkerFault, WorkerProcess, WorkerSetup
from dreamerax.envs.workers.shared_arrays import reserve
from dreamerax.own_code import module_of
from dreamerax.types import EnvSpec

_log = logging.getLogger(__name__)

_DRAWING = re.compile("mujoco|glfw|egl|osmesa|opengl|x11|display|signal SIG", re.IGNORECASE)


class Report(NamedTuple):
  """All that an examination has found out about an environment."""

  spec: EnvSpec | None  # None: what it gives as its spec is none
  violations: list[Violation]
  suspicions: list[Violation]  # arrays that look like images and are taken as something else
  met: Met | None  # None: it could not be stepped


def look(config: Mapping[str, Any], variables: Mapping[str, str]) -> EnvSpec:
  """Returns what the environment shows and takes; it is checked as `check_env` does,
  once in the life of this process.

  Where MuJoCo is found in it, nobody has set MUJOCO_GL, and there is no display, a backend that can draw is chosen for this
  process and those that it starts.

  Args:
    config: fields of EnvConfig.
    variables: of the process's environment, on top of this one's.

  Raises:
    ValueError: it cannot be made, or what it does is wrong: which, and how it is mended. In one line, also where it has
      ended its process, or hangs.
  """
  _check_importable(config["task"])
  return _look(json.dumps(config), tuple(variables.items()))


def examine(config: Mapping[str, Any], steps: int, seed: int, variables: Mapping[str, str]) -> Report:
  """Everything that is wrong with an environment, and what it is. Arguments are those of `check_env` and of `look`.

  Raises:
    ValueError: it cannot be made, has ended its process, or hangs; in one line.
  """
  _check_importable(config["task"])
  found = _drawing(
    config["task"],
    lambda: _ask(config, variables, lambda process: process.examined(START_SECONDS), examine=(steps, seed)),
    trouble=lambda found: " ".join(violation[0] for violation in found["violations"]),
  )
  listed = {name: [Violation(*each) for each in found[name]] for name in ("violations", "suspicions")}
  return Report(found["spec"], **listed, met=found["met"] and Met(*found["met"]))


def _check_importable(task: str) -> None:
  if module_of(task) == "__main__":
    raise ValueError(
      f"task={task!r}: environments are made in processes of their own, which import modules: put the factory in "
      "a module, and name that"
    )


@functools.cache
def _look(config: str, variables: tuple[tuple[str, str], ...]) -> EnvSpec:
  fields, free = json.loads(config), rendering.is_free()
  made = _drawing(
    fields["task"],
    lambda: _ask(fields, dict(variables), lambda process: process.made(START_SECONDS), check=True),
    trouble=lambda made: "",
  )
  if free and made["draws"]:
    rendering.choose_if_any()
  for remark in made["remarks"]:
    _log.warning("%s", remark)
  return made["spec"]


def _drawing(
  task: str, attempt: Callable[[], dict[str, Any]], trouble: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
  """Returns what `attempt` gives; tries again, with a backend that draws, where the
  first seems to have met none.

  Args:
    trouble: what an attempt says that did not fail.
  """
  free = rendering.is_free()
  found, fault = _tried(attempt)
  said = trouble(found) if found is not None else str(fault)
  if free and _DRAWING.search(said) and rendering.choose_if_any():
    found, fault = _tried(attempt)
  if found is None:
    raise ValueError(_in_one_line(task, str(fault)))
  return found


def _tried(attempt: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any] | None, WorkerFault | None]:
  try:
    return attempt(), None
  except WorkerFault as fault:
    return None, fault


def _in_one_line(task: str, account: str) -> str:
  """Says in one line why a process could not do what it was asked for, or that it is
  gone, with its newest frame."""
  first, *lines = account.splitlines() or [""]
  if not lines:
    return account if task in account else f"task={task!r}: {account}"
  if first.startswith("Traceback"):
    return f"task={task!r}: {last_line(account)}"
  frames = (line.strip() for line in lines if line.strip().startswith('File "'))
  where = next(frames, "") or last_line(account)
  return f"task={task!r}: its process failed: {first.removesuffix('; where it stood:')} ({where})"


def _ask(
  config: Mapping[str, Any],
  variables: Mapping[str, str],
  answer: Callable[[WorkerProcess], dict[str, Any]],
  **purpose: Any,
) -> dict[str, Any]:
  """Asks a process of its own about an environment. purpose: fields of WorkerSetup."""
  memory = reserve()
  setup = WorkerSetup(config, (0,), (0,), num_envs=1, skip_nonfinite=False, film=False, backend=None, **purpose)
  process = WorkerProcess(setup, memory, variables)
  try:
    return answer(process)
  finally:
    process.close()
    os.close(memory)
