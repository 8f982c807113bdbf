"""A page about runs that needs nothing but itself: curves, tables, videos, configurations, failures."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from matplotlib.figure import Figure

from dreamerax.analysis.animations import newest_animations
from dreamerax.analysis.compare import Comparison
from dreamerax.analysis.problems import problems
from dreamerax.analysis.runs import RunRecord, Setting
from dreamerax.analysis.summary import Improvement, Summary
from dreamerax.analysis.tables import caveats, comparison_rows, improvement_rows, summary_rows
from dreamerax.config import to_dict

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } .films { display: flex; flex-wrap: wrap; gap: 1.2rem; } figure { margin: 0; }
.films img { image-rendering: pixelated; height: 16rem; } figcaption { color: #666; font-size: .85rem; }
.above, .reached { color: #17722c; } .below { color: #b3261e; } .unclear { color: #8a5a00; }
pre { background: #f6f6f6; padding: .8rem; overflow: auto; font-size: .8rem; } summary { cursor: pointer; }
"""


class Against(NamedTuple):
  """Comparisons with one method."""

  name: str
  found: Sequence[Comparison]


def page(
  title: str,
  figure: Figure,
  settings: Sequence[Setting],
  summaries: Sequence[Summary],
  improvements: Sequence[Improvement],
  comparisons: Sequence[Against],
  left_out: Sequence[str] = (),
) -> str:
  """The page's HTML; pictures and videos are within it.

  Args:
    left_out: lines about runs that are not drawn.
  """
  runs = [run for setting in settings for task in sorted(setting.runs) for run in setting.runs[task]]
  parts = [f"<h1>{escape(title)}</h1>", _section("Curves", [_image(_svg(figure), "svg+xml", "learning curves")])]
  if summaries:
    tables = [_table(*summary_rows(summaries)), _table(*improvement_rows(improvements)) if improvements else ""]
    note = (
      "<p>Returns over 1000, over the tasks that all settings have; 95 % intervals of a bootstrap within each task.</p>"
    )
    parts.append(_section("Over all tasks", [note, *tables]))
  parts += [_comparison(each) for each in comparisons]
  parts.append(_section("Runs", [_runs(runs), *(f"<p>{escape(line)}</p>" for line in left_out)]))
  films = [film for run in runs for film in _films(run)]
  if films:
    note = "<p>open_loop: truth, prediction and error; under the green strip the model sees, under the red one it dreams.</p>"
    parts.append(_section("Videos", [note, f'<div class="films">{"".join(films)}</div>']))
  parts.append(_section("Configurations", [_configuration(setting) for setting in settings]))
  head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
  return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{"".join(parts)}</body></html>\n'


def _section(heading: str, parts: Iterable[str]) -> str:
  return f"<h2>{escape(heading)}</h2>\n{''.join(parts)}\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  head = "".join(f"<th>{escape(name)}</th>" for name in header)
  # A cell's class is its text, so that a verdict has its colour.
  cells = [[f'<td class="{escape(cell)}">{escape(cell)}</td>' for cell in row] for row in rows]
  body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
  return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _comparison(against: Against) -> str:
  parts = [_table(*comparison_rows(against.found, against.name))]
  for heading, words in caveats(against.found).items():
    parts.append(f"<p>{escape(heading)}:</p><ul>{''.join(f'<li>{escape(word)}</li>' for word in words)}</ul>")
  return _section(f"Beside {against.name}", parts)


def _runs(runs: Sequence[RunRecord]) -> str:
  header = ["run", "task", "seed", "env steps", "hours", "what went wrong"]
  rows = []
  for run in runs:
    hours = run.rows[-1].get("seconds", 0) / 3600 if run.rows else 0
    wrong = "; ".join(problems(run)) or "nothing"
    rows.append([str(run.path), run.task, str(run.config.seed), f"{run.env_steps:,}", f"{hours:.2f}", wrong])
  return _table(header, rows)


def _films(run: RunRecord) -> list[str]:
  films = []
  for film in newest_animations(run.path):
    caption = f"{run.task}, seed {run.config.seed}, {film.name} at {film.env_steps:,} env steps"
    films.append(f"<figure>{_image(film.gif, 'gif', caption)}<figcaption>{escape(caption)}</figcaption></figure>")
  return films


def _configuration(setting: Setting) -> str:
  run = next(iter(setting.runs.values()))[0]
  text = json.dumps(to_dict(run.config), indent=2)
  name = f"{setting.label}, as of {run.task} seed {run.config.seed}"
  return f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"


def _image(data: bytes, kind: str, alt: str) -> str:
  return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _svg(figure: Figure) -> bytes:
  file = io.BytesIO()
  figure.savefig(file, format="svg")
  return file.getvalue()
