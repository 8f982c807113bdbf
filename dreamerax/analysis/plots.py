"""Learning curves of many runs as one figure: a panel for each task, mean and interval over seeds, published scores."""

from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dreamerax.analysis.aggregate import mean_interval
from dreamerax.analysis.curves import Curve, Returns, on_grid, read_curve, smooth
from dreamerax.analysis.reference import Reference
from dreamerax.analysis.runs import RunRecord, Setting

Axis = Literal["env_steps", "minutes"]
_SCALES: Mapping[Axis, tuple[str, float]] = {
  "env_steps": ("thousand env steps", 1e3),
  "minutes": ("minutes since the start", 1.0),
}
_COLUMNS, _PANEL = 4, (4.2, 3.2)


def draw(
  settings: Sequence[Setting],
  *,
  returns: Returns = "evaluation",
  references: Sequence[Reference] = (),
  axes: Sequence[Axis] = ("env_steps",),
  level: float | None = None,
  title: str = "",
) -> Figure:
  """One panel for each task and axis, one colour for each setting.

  A thin line is a seed, a thick one the mean over seeds with the bootstrap interval of it, where there are several; training
  episodes are first averaged over fiftieths of the run. A published score is a dot with the deviation over its seeds.

  Args:
    level: a return to mark, of random actions say.

  Raises:
    ValueError: no run has such returns.
  """
  tasks = sorted({task for setting in settings for task in setting.runs})
  panels: list[tuple[str, Axis]] = [(task, axis) for task in tasks for axis in axes]
  columns = min(len(panels), max(len(axes), _COLUMNS // len(axes) * len(axes)))
  rows = -(-len(panels) // columns)
  figure, grid = plt.subplots(
    rows, columns, figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.5), layout="constrained", squeeze=False
  )
  drawn = 0
  for place, (task, axis) in zip(grid.flat, panels, strict=False):
    for number, setting in enumerate(settings):
      drawn += _draw_setting(place, setting, setting.runs.get(task, ()), axis, returns, f"C{number}")
    if axis == "env_steps":
      for number, reference in enumerate(references):
        _draw_reference(place, reference, task, f"C{len(settings) + number}")
    if level is not None:
      place.axhline(level, color="grey", linestyle="--", linewidth=1, label=f"return {level:g}")
    place.set(title=task, xlabel=_SCALES[axis][0], ylabel=f"{returns} return")
    place.set_ylim(bottom=0)
    place.grid(alpha=0.3)
  for place in grid.flat[len(panels) :]:
    place.axis("off")
  if not drawn:
    plt.close(figure)
    raise ValueError(f"no run has a return of {returns}: train on, or draw --returns of the other kind")
  labels = {label: line for place in grid.flat for line, label in zip(*place.get_legend_handles_labels(), strict=True)}
  figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=columns, fontsize="small")
  figure.suptitle(title)
  return figure


def run_curve(run: RunRecord, returns: Returns) -> Curve:
  """As it is drawn."""
  curve = read_curve(run.rows, returns)
  return smooth(curve) if returns == "training" else curve


def _draw_setting(
  place: Axes, setting: Setting, runs: Sequence[RunRecord], axis: Axis, returns: Returns, color: str
) -> int:
  """Returns how many curves were drawn."""
  scale = _SCALES[axis][1]
  curves = [curve for run in runs if len((curve := run_curve(run, returns)).returns)]
  if len(curves) == 1:
    x = getattr(curves[0], axis) / scale
    place.plot(x, curves[0].returns, color=color, marker="o", markersize=3, label=f"{setting.label} (1 seed)")
  else:
    for curve in curves:
      place.plot(getattr(curve, axis) / scale, curve.returns, color=color, linewidth=0.7, alpha=0.5)
  if len(curves) > 1 and (common := on_grid(curves, axis)):
    x, values = common
    place.plot(x / scale, values.mean(0), color=color, label=f"{setting.label} (mean of {len(curves)} seeds)")
    place.fill_between(x / scale, *mean_interval(values), color=color, alpha=0.2, linewidth=0)
  return len(curves)


def _draw_reference(place: Axes, reference: Reference, task: str, color: str) -> None:
  """Only as far as the runs have come, and one score more."""
  end = place.get_xlim()[1] * _SCALES["env_steps"][1]
  steps = reference.steps(task)
  shown = [step for i, step in enumerate(steps) if i == 0 or steps[i - 1] <= end]
  if not shown:
    return
  found = [reference.at(task, step) for step in shown]
  spread = np.array([score.std or 0.0 for score in found])
  x = np.array(shown) / _SCALES["env_steps"][1]
  means = [score.mean for score in found]
  label = f"{reference.name}, published ({reference.method.returns or 'unknown'} returns)"
  place.errorbar(x, means, spread, color=color, linestyle="--", linewidth=1, marker="s", markersize=3, label=label)
