"""Looks at an environment in a process of its own, where what it imports, prints, begins and breaks stays."""

import functools
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from dreamerax.envs import rendering
from dreamerax.envs.process import START_SECONDS, Setup, WorkerFault, WorkerProcess
from dreamerax.envs.shared_arrays import reserve
from dreamerax.own_code import module_of
from dreamerax.types import EnvSpec

_log = logging.getLogger(__name__)

_DRAWING = re.compile("mujoco|glfw|egl|osmesa|opengl|x11|display|signal SIG", re.IGNORECASE)


def look(config: Mapping[str, Any], variables: Mapping[str, str]) -> EnvSpec:
  """What the environment shows and takes; it is checked as `check_env` does, once in the life of this process.

  Where MuJoCo is found in it, nobody has set MUJOCO_GL, and there is no display, a backend that can draw is chosen for this
  process and those that it starts.

  Args:
    config: fields of EnvConfig.
    variables: of the process's environment, on top of this one's.

  Raises:
    ValueError: it cannot be made, or what it does is wrong: which, and how it is mended.
  """
  if module_of(config["task"]) == "__main__":
    raise ValueError(
      f"task={config['task']!r}: environments are made in processes of their own, which import modules: put the factory in "
      "a module, and name that"
    )
  return _look(json.dumps(config), tuple(variables.items()))


@functools.cache
def _look(config: str, variables: tuple[tuple[str, str], ...]) -> EnvSpec:
  fields, free = json.loads(config), rendering.is_free()
  try:
    made = _made(fields, dict(variables))
  except WorkerFault as fault:
    if not (free and _DRAWING.search(str(fault)) and rendering.choose_if_any()):
      raise ValueError(_named(fault, fields)) from None
    try:
      made = _made(fields, dict(variables))
    except WorkerFault as again:
      raise ValueError(_named(again, fields)) from None
  else:
    if free and made["draws"]:
      rendering.choose_if_any()
  for remark in made["remarks"]:
    _log.warning("%s", remark)
  return made["spec"]


def _named(fault: WorkerFault, config: Mapping[str, Any]) -> str:
  """What failed, with the task: a process that has ended without a word does not say it."""
  said = str(fault)
  return said if config["task"] in said.partition("\n")[0] else f"task={config['task']!r}: {said}"


def _made(config: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
  memory = reserve()
  setup = Setup(config, rows=(0,), seeds=(0,), num_envs=1, skip_nonfinite=False, film=False, backend=None, check=True)
  process = WorkerProcess(setup, memory, variables)
  try:
    return process.made(START_SECONDS)
  finally:
    process.close()
    os.close(memory)
