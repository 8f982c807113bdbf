"""Learning curves of many runs as one figure: a panel for each task, mean and interval over seeds, published scores."""

import difflib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dreamerax.analysis.aggregate import mean_interval
from dreamerax.analysis.curves import RETURNS, Curve, on_grid, read_curve, seed_curve, smooth
from dreamerax.analysis.reference import Reference
from dreamerax.analysis.runs import RunRecord, Setting, by_seed

Axis = Literal["env_steps", "minutes"]
_SCALES: Mapping[Axis, tuple[str, float]] = {
  "env_steps": ("thousand env steps", 1e3),
  "minutes": ("minutes since the start", 1.0),
}
_COLUMNS, _PANEL = 4, (4.2, 3.2)
_SMALL, _NARROW = 0.078, 38  # inches of a legend's character; characters of a line of a panel's title
_LINE = 0.19  # inches of a legend's line
_SEED_LINES: Mapping[str, Any] = {"linewidth": 0.7, "alpha": 0.5}
_INTERVAL: Mapping[str, Any] = {"alpha": 0.2, "linewidth": 0}


@dataclass(frozen=True)
class Panels:
  """The panels that are drawn of every task, one for each metric and axis."""

  metrics: Sequence[str] = (RETURNS["evaluation"],)
  """Names of metrics.jsonl."""
  axes: Sequence[Axis] = ("env_steps",)
  references: Sequence[Reference] = ()
  """Published scores: each is drawn beside returns of its own kind, or in the only kind of panel there is."""
  level: float | None = None
  """A value to mark, the return of random actions say."""
  note: Callable[[str, Reference], str] = lambda task, reference: ""
  """What a panel's title says of the runs on a task beside a reference: in what they are unequal."""
  absent: Callable[[str, Reference], str] = lambda task, reference: ""
  """Why a reference's scores are not drawn beside the runs on a task."""


def draw(settings: Sequence[Setting], panels: Panels | None = None, *, title: str = "") -> Figure:
  """One panel for each task, metric and axis, one colour for each setting.

  A thin line is a seed, a thick one the mean over seeds with the bootstrap interval of it, where there are several; a marker
  is a curve of a single point. Metrics of training are first averaged over fiftieths of the run. A published score is a square
  with the deviation over its seeds.

  Raises:
    ValueError: no run has such a metric.
  """
  panels = panels or Panels()
  # Names come from outside: a dollar sign in them begins no formula.
  with matplotlib.rc_context({"text.parse_math": False}):
    figure = _draw(settings, panels, title)
  if figure is None:
    raise ValueError(_nothing_to_draw(settings, panels.metrics))
  return figure


def _nothing_to_draw(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
  """Why there is no curve, and what there is in its place."""
  kinds = [metric_title(metric) for metric in metrics if metric in RETURNS.values()]
  if kinds:
    return f"no run has {' or '.join(kinds)} yet: train on, or draw another kind (--returns, --y)"
  rows = (row for setting in settings for runs in setting.runs.values() for run in runs for row in run.rows)
  known = sorted({name for row in rows for name in row if "/" in name})
  near = difflib.get_close_matches(metrics[0], known, n=3, cutoff=0.5) or known[:3]
  hint = f", such as {', '.join(near)}" if near else ", once training has written some"
  return f"y={metrics[0]!r}: no run has that metric. Name one of metrics.jsonl{hint}"


def metric_title(metric: str) -> str:
  """A metric as people call it."""
  return next((f"{kind} return" for kind, name in RETURNS.items() if name == metric), metric)


def run_curve(run: RunRecord, metric: str) -> Curve:
  """Returns a run's curve as it is drawn."""
  curve = read_curve(run.rows, metric)
  return curve if metric.startswith("eval/") else smooth(curve)


def _draw(settings: Sequence[Setting], panels: Panels, title: str) -> Figure | None:
  tasks = sorted({task for setting in settings for task in setting.runs})
  kinds: list[tuple[str, Axis]] = [(metric, axis) for metric in panels.metrics for axis in panels.axes]
  places: list[tuple[str, str, Axis]] = [(task, metric, axis) for task in tasks for metric, axis in kinds]
  columns = min(len(places), max(len(kinds), _COLUMNS // len(kinds) * len(kinds)))
  rows = -(-len(places) // columns)
  size = _PANEL[0] * columns, _PANEL[1] * rows + 0.5
  figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
  colors = _colors(len(settings) + len(panels.references))
  drawn = 0
  for place, (task, metric, axis) in zip(grid.flat, places, strict=False):
    drawn += _draw_panel(place, settings, panels, colors, task, metric, axis)
  if not drawn:
    plt.close(figure)
    return None
  for place in grid.flat[len(places) :]:
    place.axis("off")
  _legend(figure)
  if title:
    figure.suptitle(textwrap.fill(title, int(size[0] * 8), break_on_hyphens=False))
  return figure


def _draw_panel(
  place: Axes, settings: Sequence[Setting], panels: Panels, colors: Sequence, task: str, metric: str, axis: Axis
) -> int:
  """Returns how many curves were drawn."""
  drawn, heading = 0, [_wrap(task)]
  for number, setting in enumerate(settings):
    drawn += _draw_setting(place, setting, setting.runs.get(task, ()), axis, metric, colors[number])
  for number, reference in enumerate(panels.references if drawn and axis == "env_steps" else ()):
    if not _is_beside(reference, metric, panels.metrics):
      continue
    if said := panels.absent(task, reference):
      heading.append(_wrap(f"without {reference.name}: {said}"))
    elif _draw_reference(place, reference, task, colors[len(settings) + number]):
      kind = RETURNS[reference.method.returns] if reference.method.returns else metric
      if kind != metric:
        heading.append(_wrap(f"{metric_title(metric)}s beside {metric_title(kind)}s of {reference.name}"))
      if said := panels.note(task, reference):
        heading.append(_wrap(f"unequal to {reference.name}: {said}"))
  if panels.level is not None:
    place.axhline(panels.level, color="grey", linestyle="--", linewidth=1, label=f"level {panels.level:g}")
  if not drawn:
    place.text(0.5, 0.5, f"no {metric_title(metric)}", ha="center", va="center", transform=place.transAxes)
  elif place.dataLim.y0 >= 0:
    place.set_ylim(0, max(place.get_ylim()[1], 1.05 * place.dataLim.y1))
  place.set(xlabel=_SCALES[axis][0], ylabel=metric_title(metric))
  place.set_title("\n".join(heading), fontsize="medium" if len(heading) == 1 else "small")
  place.grid(alpha=0.3)
  return drawn


def _is_beside(reference: Reference, metric: str, metrics: Sequence[str]) -> bool:
  """Whether the reference is drawn in panels of this metric: of its own kind, or where no panel is of it, in all of returns."""
  own = RETURNS[reference.method.returns] if reference.method.returns else RETURNS["evaluation"]
  return metric == own or (own not in metrics and metric in RETURNS.values())


def _draw_setting(place: Axes, setting: Setting, runs: Sequence[RunRecord], axis: Axis, metric: str, color: Any) -> int:
  """Returns how many curves were drawn."""
  scale = _SCALES[axis][1]
  curves = [
    curve
    for same in by_seed(runs).values()
    if len((curve := seed_curve([run_curve(run, metric) for run in same], axis)).values)
  ]
  common = on_grid(curves, axis) if len(curves) > 1 else None
  counted = "1 seed" if len(curves) == 1 else f"{'mean of ' if common else ''}{len(curves)} seeds"
  label = f"{setting.label} ({counted})"
  for number, curve in enumerate(curves):
    x, looks = getattr(curve, axis) / scale, _SEED_LINES if common else {}
    marker = "o" if len(x) == 1 or len(curves) == 1 else ""
    named = label if not common and number == 0 else ("_" if not common or len(x) == 1 else "_seed")
    place.plot(x, curve.values, color=color, marker=marker, markersize=3, label=named, **looks)
  if common:
    x, values = common
    low, high = mean_interval(values)
    if x[0] == x[-1]:
      mean = values.mean(0)[:1]
      bars = np.maximum([mean - low[:1], high[:1] - mean], 0)
      place.errorbar(x[:1] / scale, mean, bars, color=color, marker="D", markersize=5, capsize=3, label=label)
    else:
      place.plot(x / scale, values.mean(0), color=color, label=label)
      place.fill_between(x / scale, low, high, color=color, label="_interval", **_INTERVAL)
  return len(curves)


def _draw_reference(place: Axes, reference: Reference, task: str, color: Any) -> bool:
  """Only as far as the runs have come, and one score more. Returns whether there was one."""
  end = place.get_xlim()[1] * _SCALES["env_steps"][1]
  steps = reference.steps(task)
  shown = [step for i, step in enumerate(steps) if i == 0 or steps[i - 1] <= end]
  if not shown:
    return False
  found = [reference.at(task, step) for step in shown]
  spread = np.array([score.std or 0.0 for score in found])
  x = np.array(shown) / _SCALES["env_steps"][1]
  means = [score.mean for score in found]
  kind = f"{reference.method.returns} returns" if reference.method.returns else "returns of a kind that is not told"
  label = f"{reference.name}, published {kind}"
  place.errorbar(x, means, spread, color=color, linestyle="--", linewidth=1, marker="s", markersize=3, label=label)
  return True


def _legend(figure: Figure) -> None:
  """Names everything that is drawn, below the panels, which keep their size: long names go over several lines."""
  named: dict[str, Any] = {}
  for place in figure.axes:
    for line, label in zip(*place.get_legend_handles_labels(), strict=True):
      named.setdefault(label, line)
  hidden = {artist.get_label() for place in figure.axes for artist in (*place.lines, *place.collections)}
  if "_seed" in hidden:
    named["each seed"] = Line2D([], [], color="grey", **_SEED_LINES)
  if "_interval" in hidden:
    named["95 % bootstrap interval of the mean"] = Patch(color="grey", **_INTERVAL)
  width, height = figure.get_size_inches()
  longest = max(map(len, named)) * _SMALL + 0.7
  columns = max(1, min(len(named), int(width / longest)))
  words = [textwrap.fill(label, int((width / columns - 0.9) / _SMALL), break_on_hyphens=False) for label in named]
  lines = -(-sum(label.count("\n") + 1 for label in words) // columns) + 1
  figure.set_size_inches(width, height + _LINE * lines)
  figure.legend(named.values(), words, loc="outside lower center", ncols=columns, fontsize="small")


def _wrap(words: str) -> str:
  return textwrap.fill(words, _NARROW, break_on_hyphens=False)


def _colors(count: int) -> Sequence[Any]:
  """Returns as many colours as are asked for, no two of them equal."""
  if count <= 10:
    return [f"C{number}" for number in range(count)]
  if count <= 20:
    return list(matplotlib.color_sequences["tab20"])
  return [tuple(color) for color in plt.get_cmap("turbo")(np.linspace(0, 1, count)).tolist()]
