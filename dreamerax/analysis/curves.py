"""Metrics over env steps, as metrics.jsonl has them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeGuard

import numpy as np

from dreamerax.published import WINDOW

Returns = Literal["evaluation", "training"]
RETURNS: Mapping[Returns, str] = {"evaluation": "eval/return", "training": "episode/return"}
"""Which metric has the returns of each kind: evaluations, each the mean of its episodes with mode actions; or episodes of
training."""
_GRID = 100  # points of a mean curve


class Curve(NamedTuple):
  """One run's values of a metric, in order."""

  env_steps: np.ndarray  # [N]
  values: np.ndarray  # [N] of an evaluation's mean, or of an episode
  minutes: np.ndarray  # [N] since the run began; NaN where unknown


class Window(NamedTuple):
  """The scores of a run around a step."""

  mean: float
  count: int  # evaluations, or episodes, that it is the mean of


def read_curve(rows: Iterable[Mapping], metric: str) -> Curve:
  """The values of a metric; those that are no finite numbers are left out."""
  points = [
    (row["env_steps"], row[metric], seconds / 60 if is_number(seconds := row.get("seconds")) else np.nan)
    for row in rows
    if is_number(row.get(metric))
  ]
  return Curve(*np.array(sorted(points), np.float64).reshape(-1, 3).T)


def is_number(value: object) -> TypeGuard[float]:
  """Whether a value of metrics.jsonl is a finite number."""
  return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def window(curve: Curve, end: int, width: float = WINDOW) -> Window | None:
  """The mean over the last `width` of the steps until `end`, as the published values have it; None: nothing is in it."""
  inside = curve.values[((1 - width) * end <= curve.env_steps) & (curve.env_steps <= end)]
  return Window(float(inside.mean()), len(inside)) if len(inside) else None


def smooth(curve: Curve, points: int = 50) -> Curve:
  """Means over `points` equal stretches of the env steps; stretches without values are left out."""
  if not len(curve.env_steps):
    return curve
  edges = np.linspace(0, curve.env_steps[-1], points + 1)
  place = np.clip(np.searchsorted(edges, curve.env_steps, side="left"), 1, points)
  filled = np.unique(place)
  return Curve(*(np.array([values[place == i].mean() for i in filled]) for values in curve))


def seed_curve(curves: Sequence[Curve], axis: Literal["env_steps", "minutes"]) -> Curve:
  """The curve of one seed, however often it was run: the mean of its runs where all have been, else the longest of them.

  Points that have no place on the axis are left out.
  """
  known = (np.isfinite(getattr(curve, axis)) for curve in curves)
  placed = [Curve(*(values[keep] for values in curve)) for curve, keep in zip(curves, known, strict=True)]
  filled = [curve for curve in placed if len(curve.values)]
  if len(filled) > 1 and (common := on_grid(filled, axis)):
    x, values = common
    count = 1 if x[0] == x[-1] else len(x)
    return Curve(x[:count], values.mean(0)[:count], x[:count])
  return max(filled or placed, key=lambda curve: len(curve.values))


def on_grid(curves: Sequence[Curve], axis: Literal["env_steps", "minutes"]) -> tuple[np.ndarray, np.ndarray] | None:
  """Curves at common places: x [P] and values [seeds, P], between points linearly, where every curve has been.

  None: there is no such stretch. No curve may be empty.
  """
  low = max(getattr(curve, axis)[0] for curve in curves)
  high = min(getattr(curve, axis)[-1] for curve in curves)
  if low > high:
    return None
  x = np.linspace(low, high, _GRID)
  return x, np.stack([np.interp(x, getattr(curve, axis), curve.values) for curve in curves])
