"""Reads the scores that runs are compared with: the table of published ones, or a score file of the authors."""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dreamerax.analysis.curves import Curve, window
from dreamerax.published import METHODS, Method, Score, curve, scores, task_of

_FIELDS = {"task", "method", "seed", "xs", "ys"}


class Reference(NamedTuple):
  """A method's scores, and how they were measured."""

  name: str
  method: Method
  steps: Callable[[str], list[int]]  # task -> env steps that there are scores for; []: none
  at: Callable[[str, int], Score]  # task and one of these steps -> the score


def load_reference(name: str) -> Reference:
  """
  Args:
    name: a method of the table, or a file: a JSON list of {"task", "method", "seed", "xs", "ys"}, one for each run, with the
      env steps of its returns; `.gz` too.

  Raises:
    ValueError: no such method, or the file is something else. FileNotFoundError: there is no such file.
  """
  if name.endswith((".json", ".json.gz")):
    return _of_file(Path(name))
  curve(name, "")  # complains of an unknown method
  return Reference(
    name,
    METHODS[name],
    lambda task: [score.env_steps for score in curve(name, task)],
    lambda task, steps: next(score for score in curve(name, task) if score.env_steps == steps),
  )


def _of_file(path: Path) -> Reference:
  runs = _read(path)
  names = sorted({run["method"] for run in runs})
  if len(names) > 1:
    raise ValueError(f"{path} holds the methods {', '.join(names)}: keep one of them in a file")
  curves: dict[str, list[Curve]] = {}
  for run in runs:
    points = np.array(run["xs"], np.float64), np.array(run["ys"], np.float64)
    curves.setdefault(task_of(run["task"]), []).append(Curve(*points, np.full(len(run["xs"]), np.nan)))

  def steps(task: str) -> list[int]:
    """The table's steps, as far as all seeds have come."""
    seeds = curves.get(task_of(task), [])
    known = sorted({score.env_steps for score in scores()})
    return [step for step in known if seeds and all(window(each, step) for each in seeds)]

  def at(task: str, step: int) -> Score:
    found = [window(each, step) for each in curves[task_of(task)]]
    means = np.array([each.mean for each in found if each])
    std = float(means.std(ddof=1)) if len(means) > 1 else None
    return Score(names[0], task_of(task), step, len(means), float(means.mean()), std, path.name)

  return Reference(names[0], METHODS.get(names[0], Method(names[0])), steps, at)


def _read(path: Path) -> list[Mapping]:
  data = path.read_bytes()
  try:
    runs = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
  except (ValueError, OSError, EOFError) as error:
    raise ValueError(f"{path} is not JSON ({error})") from error
  wrong = (
    not isinstance(runs, list) or not runs or any(not isinstance(run, dict) or _FIELDS - run.keys() for run in runs)
  )
  if wrong or any(len(run["xs"]) != len(run["ys"]) or not run["xs"] for run in runs):
    raise ValueError(f"{path}: expected a list of {{{', '.join(sorted(_FIELDS))}}} with xs and ys of one length")
  return runs
