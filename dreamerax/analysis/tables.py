"""Makes the tables about runs that a terminal and a report both show."""

from collections.abc import Sequence

from dreamerax.analysis.aggregate import Estimate
from dreamerax.analysis.compare import Comparison, unequal
from dreamerax.analysis.summary import Improvement, Summary
from dreamerax.words import number_of


def comparison_rows(found: Sequence[Comparison], against: str) -> tuple[list[str], list[list[str]]]:
  """Header and one row for each comparison; the verdict comes last."""
  header = ["task", "setting", "env steps", "returns", "ours", against, "difference", "unequal", "verdict"]
  rows = []
  for each in found:
    ours = _score(each.mean, each.std, len(each.seeds)) if each.seeds else "–"
    steps, theirs = "–", "–"
    if each.theirs:
      steps = f"{each.theirs.env_steps:,}"
      theirs = _score(each.theirs.mean, each.theirs.std, each.theirs.seeds)
    difference = "–" if each.difference is None else f"{each.difference:+.1f} std"
    rows.append(
      [each.task, each.label, steps, each.returns, ours, theirs, difference, unequal(each.caveats) or "–", each.verdict]
    )
  return header, rows


def _score(mean: float, std: float | None, seeds: int | None) -> str:
  spread = "" if std is None else f" ± {std:.1f}"
  return f"{mean:.1f}{spread}" + (f" ({number_of(seeds, 'seed')})" if seeds else "")


def caveats(found: Sequence[Comparison]) -> dict[str, tuple[str, ...]]:
  """Caveats by what they are of; tasks of a setting that have the same ones are told together."""
  tasks: dict[tuple[str, tuple[str, ...]], list[str]] = {}
  for each in found:
    if each.caveats:
      tasks.setdefault((each.label, each.caveats), []).append(each.task)
  return {f"{label} on {', '.join(names)}": words for (label, words), names in tasks.items()}


def summary_rows(found: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
  """Header and one row for each setting."""
  header = ["setting", "tasks", "seeds", "env steps", "returns", "mean", "IQM", "optimality gap"]
  rows = [
    [each.label, str(len(each.tasks)), str(each.seeds), f"{each.env_steps:,}", each.returns]
    + [_interval(value) for value in (each.mean, each.interquartile_mean, each.optimality_gap)]
    for each in found
  ]
  return header, rows


def improvement_rows(found: Sequence[Improvement]) -> tuple[list[str], list[list[str]]]:
  """Header and one row for each pair of settings."""
  rows = [[each.better, each.worse, _interval(each.probability)] for each in found]
  return ["setting", "compared with", "probability of improvement"], rows


def _interval(found: Estimate) -> str:
  return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
