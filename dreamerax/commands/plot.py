"""`dreamerax plot`: learning curves as a picture, or as a page with all that is known of the runs."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from dreamerax import files
from dreamerax.analysis import plots, report
from dreamerax.analysis.compare import compare, redrawn, unequal_settings
from dreamerax.analysis.curves import RETURNS, Returns
from dreamerax.analysis.reference import Reference, load_reference
from dreamerax.analysis.runs import Setting, find_runs, group
from dreamerax.analysis.summary import summarize
from dreamerax.analysis.tables import improvement_rows, summary_rows
from dreamerax.commands import printing
from dreamerax.envs.suites.registry import SUITES

_LONGEST_TITLE = 500  # characters


@dataclass(frozen=True)
class Arguments:
  """Draws returns of runs: a panel for each task, mean and interval over seeds, published scores. Also prints aggregates."""

  runs: tuple[Path, ...]
  """Run directories, or directories of them."""
  out: Path = Path("curves.png")
  """FILE.png: the curves. FILE.html: a page that needs nothing else, with tables, videos, configurations and failures, too."""
  returns: Literal["evaluation", "training"] | None = None
  """Which returns. By default evaluation; with --against the kind that was published, with a panel for each kind."""
  y: str | None = None
  """A metric of metrics.jsonl to draw in place of returns: eval/log/success, train/loss/total."""
  against: tuple[str, ...] = ()
  """Methods of the published table, or the authors' score files."""
  x: tuple[Literal["env_steps", "minutes"], ...] = ("env_steps",)
  """Over what; a panel for each."""
  level: float | None = None
  """A value to mark, the return of random actions say."""
  title: str = ""
  """Above everything."""
  anyway: bool = False
  """Also runs whose environments differ from each other."""

  def __post_init__(self):
    if not self.runs:
      raise ValueError("runs is empty: name at least one run directory")
    if self.out.suffix not in (".png", ".html"):
      raise ValueError(f"out={self.out}: the name must end in .png or .html")
    if len(self.title) > _LONGEST_TITLE:
      raise ValueError(
        f"title has {len(self.title):,} characters: what stands above curves has {_LONGEST_TITLE} at most"
      )
    if not self.x:
      raise ValueError("x is empty: name env_steps, minutes or both")


def run(arguments: Arguments) -> int:
  """Writes the file and prints aggregates; returns the exit status.

  Raises:
    ValueError: environments that differ, no returns of that kind, an unknown method. FileNotFoundError: no run is there.
  """
  if arguments.y is not None and (arguments.returns or arguments.against):
    raise ValueError(f"--y {arguments.y} is drawn in place of returns: leave --returns and --against out")
  references = [load_reference(name) for name in arguments.against]
  found = find_runs(arguments.runs)
  for line in found.told():
    print(line, file=sys.stderr)
  settings = group(found.runs)
  different = _differences(settings)
  if different and not arguments.anyway:
    raise ValueError(f"{'; '.join(different)}: returns are not of the same thing. --anyway draws them all the same")
  kinds = _kinds(arguments, references)
  panels = plots.Panels(
    metrics=[arguments.y] if arguments.y else [RETURNS[kind] for kind in kinds],
    axes=arguments.x,
    references=references,
    level=arguments.level,
    note=lambda task, reference: unequal_settings(settings, reference, task),
    absent=redrawn,
  )
  figure = plots.draw(settings, panels, title=arguments.title)
  tables = [] if arguments.y else [summarize(settings, kind) for kind in kinds]
  summaries = [each for table, _ in tables for each in table]
  improvements = [each for _, table in tables for each in table]
  arguments.out.parent.mkdir(parents=True, exist_ok=True)
  if arguments.out.suffix == ".png":
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_whole(arguments.out, picture.getvalue())
  else:
    compared = [report.Against(each.name, compare(settings, each, returns=arguments.returns)) for each in references]
    title = arguments.title or f"dreamerax: {', '.join(setting.label for setting in settings)}"
    page = report.page(title, figure, settings, summaries, improvements, compared, found.told())
    files.write_whole(arguments.out, page)
  console = printing.console()
  for header, rows in (summary_rows(summaries), improvement_rows(improvements)):
    if rows:
      console.print(printing.table(header, rows))
  console.print(f"{arguments.out}", markup=False, highlight=False, soft_wrap=True)
  return 0


def _kinds(arguments: Arguments, references: Sequence[Reference]) -> list[Returns]:
  """The kinds of returns that are drawn."""
  if arguments.returns:
    return [arguments.returns]
  return sorted({reference.method.returns or "evaluation" for reference in references}) or ["evaluation"]


def _differences(settings: Sequence[Setting]) -> list[str]:
  """Says where runs on one task saw or did something else in it."""
  found = []
  for task in sorted({task for setting in settings for task in setting.runs}):
    first, *others = [run for setting in settings for run in setting.runs.get(task, ())]
    undrawn = any(suite.matches(first.config.env.task) and not suite.draws for suite in SUITES)
    names = [field.name for field in fields(first.config.env) if field.name != "rendering" or not undrawn]
    for other in others:
      for name in names:
        one, another = getattr(first.config.env, name), getattr(other.config.env, name)
        if one != another:
          found.append(f"{name} is {one!r} in {first.path} and {another!r} in {other.path}")
  return found[:1]  # the others are mostly the same
