"""`dreamerax doctor RUN_DIR`: whether a run can go on from what its directory holds."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamerax import files
from dreamerax.commands.checks import Check, show
from dreamerax.commands.trusting import TrustOption
from dreamerax.own_code import NOBODY, NotTrusted, Trust
from dreamerax.replay import find_lost, inspect
from dreamerax.replay.budget import size_of
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.checkpoint import packed
from dreamerax.runtime.checkpoint.checkpoints import verify
from dreamerax.runtime.checkpoint.folder import FOLDER, PACKED, read_saved
from dreamerax.runtime.checkpoint.metadata import RESHARDS, RunState
from dreamerax.runtime.checkpoint.replay import log_folder, log_folders
from dreamerax.runtime.run_lock import holder
from dreamerax.runtime.telemetry.metrics import METRICS, read_metrics
from dreamerax.words import number_of

_LOST = ", which the newest checkpoint counts on: restore it, or the run goes on with what is left"
_NAMED = 5  # damaged records that are named


@dataclass(frozen=True)
class Arguments(TrustOption):
  """Checks a run directory and changes nothing in it. The exit status is 1 where something keeps the run from going on."""

  run_dir: Path
  """What --logdir named."""


def run(arguments: Arguments) -> int:
  """Prints what was found; returns the exit status.

  Raises:
    FileNotFoundError: there is no run.
  """
  return show(examine(arguments.run_dir, arguments.trusted))


def examine(run_dir: Path, trust: Trust = NOBODY) -> Iterator[Check]:
  """Findings, in the order in which a run that goes on would stumble over them."""
  files.refuse_links(run_dir)
  yield _config(run_dir, trust)
  if (run_dir / PACKED).is_dir():
    yield _packed(run_dir)
    return
  user = holder(run_dir)
  yield Check("in use", f"by {user}" if user else "no")
  yield from _checkpoints(run_dir)
  saved = next(iter(read_saved(run_dir / FOLDER)), None)
  yield _replay(run_dir, saved)
  yield _metrics(run_dir, saved)
  spoilt = sorted(path.name for path in (run_dir / "nonfinite").glob("*"))
  if spoilt:
    problem = f"training met numbers that are not finite; batches and states are in {run_dir / 'nonfinite'}"
    yield Check("not finite", ", ".join(spoilt), problem)
  yield _disk(run_dir)


def _config(run_dir: Path, trust: Trust) -> Check:
  try:
    directory = RunDirectory.open(run_dir, trust)
    directory.check_checkpoints_know_config()
  except ValueError as error:
    return Check("config.json", "damaged or changed", str(error), fatal=True)
  try:
    config = directory.config
  except NotTrusted as error:
    return Check("config.json", f"{directory.preset}, with parts that are not trusted", str(error))
  except ValueError as error:
    return Check("config.json", "this version cannot read it", str(error), fatal=True)
  return Check("config.json", f"{directory.preset} {config.size}, {config.env.task}, seed {config.seed}")


def _packed(run_dir: Path) -> Check:
  problem = packed.find_problem(run_dir)
  if problem is not None:
    return Check("agent", "damaged", f"{problem}: put a copy of it back", fatal=True)
  return Check("agent", f"whole, {size_of(packed.size_of(run_dir))}, packed: it acts, and does not train on")


def _checkpoints(run_dir: Path) -> Iterator[Check]:
  found = verify(run_dir)
  whole = [each for each in found if each.problem is None]
  for each in reversed(found):
    name = f"checkpoint at {each.env_steps:,} env steps"
    if each.problem is None:
      yield Check(name, f"whole, {size_of(each.bytes)}")
    else:
      fix = "the run goes on from the one before" if whole else "put a copy of one back, or begin another run"
      yield Check(name, "damaged", f"{each.problem}: {fix}", fatal=not whole)
  for path in sorted((run_dir / FOLDER).glob("*.bad")):
    yield Check(path.name, "damaged", "passed over when the run went on from the one before; delete it if you like")
  if not found:
    yield Check("checkpoints", "none", "the run would begin anew")


def _replay(run_dir: Path, saved: RunState | None) -> Check:
  folders = log_folders(run_dir)
  lost = _lost(run_dir, saved) if saved is not None else []
  if not folders and lost:
    return Check("replay", "missing", _named(lost) + _LOST)
  if not folders:
    return Check("replay", "not on disk: a run that goes on fills it again")
  reports = [inspect(folder) for folder in folders]
  rows, corrupt, torn, size, files = (list(column) for column in zip(*reports, strict=True))
  logs = f" of {sum(map(bool, files))} hosts" if sum(map(bool, files)) > 1 else ""
  value = f"{number_of(sum(rows), 'step')}, {size_of(sum(size))} in {number_of(sum(files), 'file')}{logs}"
  if sum(torn):
    value += f", and {sum(torn):,} bytes of a step that was being written"
  damaged = [text for texts in corrupt for text in texts]
  problems = [_named(damaged) + ": they are skipped, and their episodes cut there"] if damaged else []
  problems += [_named(lost) + _LOST] if lost else []
  return Check("replay", value, "; ".join(problems))


def _lost(run_dir: Path, saved: RunState) -> list[str]:
  reshards = saved.replay.get(RESHARDS, 0)
  return [
    each for host, end in enumerate(saved.logs) for each in find_lost(log_folder(run_dir, reshards, host), end) if end
  ]


def _named(texts: list[str]) -> str:
  more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
  return f"{'; '.join(texts[:_NAMED])}{more}"


def _metrics(run_dir: Path, saved: RunState | None) -> Check:
  path = run_dir / METRICS
  if not path.exists():
    return Check("metrics.jsonl", "missing", "curves of the run begin when it goes on")
  try:
    rows = read_metrics(path)
  except ValueError as error:
    return Check("metrics.jsonl", "damaged", str(error))
  found, expected = path.stat().st_size, saved.metrics if saved is not None else 0
  if found < expected:
    fix = f"it had {expected:,} bytes at the newest checkpoint: restore it, or the run goes on without these lines"
    return Check("metrics.jsonl", f"cut to {found:,} bytes", fix)
  return Check(
    "metrics.jsonl", f"{number_of(len(rows), 'line')}, up to {rows[-1]['env_steps'] if rows else 0:,} env steps"
  )


def _disk(run_dir: Path) -> Check:
  free = shutil.disk_usage(run_dir).free
  wanted = 2 * max((each.bytes for each in verify(run_dir)), default=2**28)
  if free < wanted:
    return Check(
      "disk", f"{size_of(free)} left", f"two more checkpoints take {size_of(wanted)}: free some, or move the run"
    )
  return Check("disk", f"{size_of(free)} left")
