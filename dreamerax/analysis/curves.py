"""Returns over env steps, as metrics.jsonl has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from dreamerax.published import WINDOW

Returns = Literal["evaluation", "training"]
_NAMES: Mapping[str, str] = {"evaluation": "eval/return", "training": "episode/return"}
_GRID = 100  # points of a mean curve


class Curve(NamedTuple):
  """One run's returns, in order."""

  env_steps: np.ndarray  # [N]
  returns: np.ndarray  # [N] of an evaluation's mean, or of an episode
  minutes: np.ndarray  # [N] since the run began; NaN where unknown


class Window(NamedTuple):
  """What a run scored around a step."""

  mean: float
  count: int  # evaluations, or episodes, that it is the mean of


def read_curve(rows: Iterable[Mapping], returns: Returns) -> Curve:
  """Evaluations, each the mean of its episodes with mode actions; or episodes of training."""
  name = _NAMES[returns]
  points = [(row["env_steps"], row[name], row.get("seconds", np.nan) / 60) for row in rows if row.get(name) is not None]
  return Curve(*np.array(sorted(points), np.float64).reshape(-1, 3).T)


def window(curve: Curve, end: int, width: float = WINDOW) -> Window | None:
  """The mean over the last `width` of the steps until `end`, as the published values have it; None: nothing is in it."""
  inside = curve.returns[((1 - width) * end <= curve.env_steps) & (curve.env_steps <= end)]
  return Window(float(inside.mean()), len(inside)) if len(inside) else None


def smooth(curve: Curve, points: int = 50) -> Curve:
  """Means over `points` equal stretches of the env steps; stretches without returns are left out."""
  if not len(curve.env_steps):
    return curve
  edges = np.linspace(0, curve.env_steps[-1], points + 1)
  place = np.clip(np.searchsorted(edges, curve.env_steps, side="left"), 1, points)
  filled = np.unique(place)
  return Curve(*(np.array([values[place == i].mean() for i in filled]) for values in curve))


def on_grid(curves: Sequence[Curve], axis: Literal["env_steps", "minutes"]) -> tuple[np.ndarray, np.ndarray] | None:
  """Curves at common places: x [P] and returns [seeds, P], between points linearly, where every curve has been.

  None: there is no such stretch. No curve may be empty.
  """
  low = max(getattr(curve, axis)[0] for curve in curves)
  high = min(getattr(curve, axis)[-1] for curve in curves)
  if low > high:
    return None
  x = np.linspace(low, high, _GRID)
  return x, np.stack([np.interp(x, getattr(curve, axis), curve.returns) for curve in curves])
