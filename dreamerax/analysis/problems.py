"""Lists what went wrong in a run, as far as its directory tells."""

from dreamerax.analysis.runs import RunRecord
from dreamerax.runtime.run_lock import holder


def problems(run: RunRecord) -> list[str]:
  """Says what is wrong with a run; nothing where it is whole and as long as it was
  asked to be."""
  found = []
  if run.env_steps < run.config.env_steps:
    user = holder(run.path)
    why = f"is being trained by {user}" if user else "has ended early"
    found.append(f"{why}: {run.env_steps:,} of {run.config.env_steps:,} env steps")
  spoilt = sorted(path.name for path in (run.path / "nonfinite").glob("*"))
  if spoilt:
    found.append(f"met numbers that are not finite: {', '.join(spoilt)}")
  for name, what in (("train/skipped_updates", "updates left out"), ("envs/faults", "failures of environments")):
    most = max((row[name] for row in run.rows if row.get(name)), default=0)
    if most:
      found.append(f"{most:g} {what}")
  damaged = sorted(path.name for path in (run.path / "checkpoints").glob("*.bad"))
  if damaged:
    found.append(f"damaged checkpoints: {', '.join(damaged)}")
  return found
