"""Runs beside published scores: at the same env steps, over the same window, and with what makes it unfair."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from dreamerax.analysis.curves import RETURNS, Returns, Window, read_curve, window
from dreamerax.analysis.reference import Reference
from dreamerax.analysis.runs import RunRecord, Setting, by_seed
from dreamerax.published import Score, task_of

Verdict = Literal["above", "reached", "below", "unclear"]
_FEW_SEEDS, _FEW_VALUES = 5, 3
_REDRAWN = "mjx/"  # tasks of the suite that the scores are of, in other pictures
# What a caveat that is not the reason of an unclear verdict begins with.
_UNEQUAL = (
  *("method", "env steps", "action repeat", "rendering", "observations", "model size", "episodes", "actions"),
  *("seeds", "runs", "window", "spread"),
)


class Comparison(NamedTuple):
  """One setting on one task."""

  label: str
  task: str
  theirs: Score | None  # None: there is nothing to compare with
  returns: Returns
  seeds: tuple[float, ...]  # each seed's mean in the window
  difference: float | None  # in their standard deviations, or in ours where they have none
  verdict: Verdict
  caveats: tuple[str, ...]  # why it is unclear, and what makes it unfair

  @property
  def mean(self) -> float:
    return float(np.mean(self.seeds))

  @property
  def std(self) -> float | None:
    """Sample standard deviation over seeds; None for a single one."""
    return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else None


def compare(
  settings: Sequence[Setting],
  reference: Reference,
  *,
  at: int | None = None,
  returns: Returns | None = None,
  tolerance: float = 1.0,
  margin: float = 10.0,
) -> list[Comparison]:
  """Every setting on every task that it was run on.

  Args:
    at: env steps; by default the most, of those that there are published scores for, that all seeds have reached.
    returns: which of ours; by default the kind that the published ones are.
    tolerance, margin: a score is reached if it is less than so many of their standard deviations, or so many thousandths
      of the highest return, below theirs; it is above if it is more than both above.
  """
  kind: Returns = returns or reference.method.returns or "evaluation"
  return [
    _compare(setting.label, task, runs, reference, at, kind, tolerance, margin)
    for setting in settings
    for task, runs in sorted(setting.runs.items())
  ]


def unequal(caveats: Sequence[str]) -> str:
  """Names what the caveats are of, in a few words: "method, action repeat,
  rendering"."""
  names = dict.fromkeys(caveat.partition(": ")[0] for caveat in caveats)
  return ", ".join(name for name in names if name in _UNEQUAL)


def unequal_settings(settings: Sequence[Setting], reference: Reference, task: str) -> str:
  """Says in what runs on a task differ from the published ones, before anything is said
  of returns and seeds."""
  runs = [setting.runs[task][0] for setting in settings if task in setting.runs]
  return unequal([caveat for run in runs for caveat in _of_settings(run, reference, task_of(task))])


def redrawn(task: str, reference: Reference) -> str:
  """Says that the reference's scores are of other pictures of this task; "" where they are not."""
  twin = task.removeprefix(_REDRAWN)
  if twin == task or reference.steps(task) or not reference.steps(twin):
    return ""
  return (
    f"mjx/ draws other pictures than the scores are of: dreamerax eval RUN_DIR --task dmc/{twin} gives returns on those"
  )


def _compare(
  label: str,
  task: str,
  runs: Sequence[RunRecord],
  reference: Reference,
  at: int | None,
  returns: Returns,
  tolerance: float,
  margin: float,
) -> Comparison:
  def unclear(*why: str, seeds: tuple[float, ...] = (), theirs: Score | None = None) -> Comparison:
    return Comparison(label, task, theirs, returns, seeds, None, "unclear", why)

  known = reference.steps(task)
  if said := redrawn(task, reference):
    return unclear(said)
  if not known:
    return unclear(f"{reference.name} has no score on this task")
  if at is not None and at not in known:
    return unclear(f"{reference.name} has scores at {', '.join(f'{step:,}' for step in known)} env steps only")
  begun = by_seed(run for run in runs if run.rows)
  if not begun:
    return unclear("no run has metrics yet")
  reached = min(max(run.env_steps for run in same) for same in begun.values())
  steps = at or max((step for step in known if step <= reached), default=None)
  if steps is None or steps > reached:
    return unclear(f"a seed has come to {reached:,} env steps only; the scores are at {steps or known[0]:,} or later")
  theirs, ours = reference.at(task, steps), reached if reference.method.offline else steps
  windows = [[_window(run, returns, ours) for run in same] for same in begun.values()]
  found = [[each for each in same if each] for same in windows]
  if not all(found):
    fix = "train with a smaller --eval-every, or compare with --returns training" if returns == "evaluation" else ""
    return unclear(f"a seed has no {returns} return in the window that ends there{fix and ': '}{fix}", theirs=theirs)
  seeds = tuple(float(np.mean([each.mean for each in same])) for same in found)
  values = min(sum(each.count for each in same) for same in found)
  caveats = _caveats(runs, reference, theirs, ours, returns, values, len(seeds))
  ahead = float(np.mean(seeds)) - theirs.mean
  spread = theirs.std if theirs.std is not None else (float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None)
  if spread is None:
    return unclear("neither side has a spread over seeds", *caveats, seeds=seeds, theirs=theirs)
  allowed = max(tolerance * spread, margin * reference.method.highest_of(theirs.task) / 1000)
  verdict: Verdict = "above" if ahead > allowed else "below" if ahead < -allowed else "reached"
  return Comparison(label, task, theirs, returns, seeds, ahead / spread if spread else None, verdict, caveats)


def _window(run: RunRecord, returns: Returns, steps: int) -> Window | None:
  """None where the run has not come so far, too."""
  return window(read_curve(run.rows, RETURNS[returns]), steps) if run.env_steps >= steps else None


def _caveats(
  runs: Sequence[RunRecord], reference: Reference, theirs: Score, steps: int, returns: Returns, values: int, seeds: int
) -> tuple[str, ...]:
  """Says what makes a comparison unfair. steps: ours."""
  recorded = f"env steps: ours {steps:,}, theirs {theirs.env_steps:,} that were recorded before"
  return tuple(
    [
      *_of_settings(runs[0], reference, theirs.task),
      *([recorded] if reference.method.offline else []),
      *_of_returns(reference, returns),
      *_of_numbers(runs, theirs, returns, values, seeds),
    ]
  )


def _of_settings(run: RunRecord, reference: Reference, task: str) -> list[str]:
  env, method, found = run.config.env, reference.method, []
  if (run.preset or "").replace("-", "") != reference.name:
    found.append(f"method: {run.preset or 'no preset'} is compared with {method.title}")
  repeat = method.repeat_of(task)
  if repeat is None:
    found.append(f"action repeat: ours {env.action_repeat}, theirs not told")
  elif repeat != env.action_repeat:
    found.append(f"action repeat: ours {env.action_repeat}, theirs {repeat}")
  if env.rendering != "published":
    found.append(f"rendering: ours {env.rendering}, theirs dm_control's own")
  size = env.image_size or method.image_size  # of dmc/ tasks, 64 is the default
  if size != method.image_size or env.grey or env.observations != ("image",):
    shown = f"{', '.join(env.observations)}{f' at {size} pixels' if size else ''}{', grey' if env.grey else ''}"
    found.append(f"observations: ours {shown}, theirs images of {method.image_size or 'the size of the task'}")
  if run.config.size != "published":
    found.append(f"model size: ours {run.config.size}, theirs {method.size or 'not told'}")
  return found


def _of_returns(reference: Reference, returns: Returns) -> list[str]:
  method, found = reference.method, []
  if method.returns is None:
    found.append(f"episodes: ours of {returns}, theirs not told")
  elif method.returns != returns:
    found.append(f"episodes: ours of {returns}, theirs of {method.returns}")
  ours = "mode" if returns == "evaluation" else "samples"
  if method.actions != ours:
    found.append(f"actions: ours {ours}, theirs {method.actions or 'not told'}")
  return found


def _of_numbers(runs: Sequence[RunRecord], theirs: Score, returns: Returns, values: int, count: int) -> list[str]:
  found = []
  if count < min(theirs.seeds or _FEW_SEEDS, _FEW_SEEDS):
    of_theirs = f"theirs {theirs.seeds}" if theirs.seeds else "theirs not told"
    found.append(f"seeds: ours {count}, {of_theirs}")
  if empty := sum(not run.rows for run in runs):
    found.append(f"runs: {empty} of {len(runs)} without metrics left out")
  if len([run for run in runs if run.rows]) > count:
    found.append("runs: a seed was run more than once, and counts once, with the mean of its runs")
  if values < _FEW_VALUES:
    what = "evaluations" if returns == "evaluation" else "episodes"
    found.append(f"window: a seed has only {values} {what} in it")
  if theirs.std is None:
    found.append("spread: none was published, so that the difference is in our standard deviations")
  return found
