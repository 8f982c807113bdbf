"""Brings back the replay of a run that goes on: this host's, or its share where there were other hosts."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dreamerax.replay import OldLog, Replay
from dreamerax.runtime.checkpoint.metadata import RESHARDS, RunState, restoring
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.hosts import Hosts

_ROOT = "replay"  # in a run directory
_RESHARDED = re.compile(r"\d+-\d+")  # how often replays were resharded, and a host: the name of that host's folder


class Restored(NamedTuple):
  """The part of a checkpoint, beside the state, that a run goes on with; a run that
  begins has none."""

  counters: Counters  # those of the checkpoint, and what was kept beside it
  extra: Mapping[str, Any]  # of this host, as far as it is still true; {} begins episodes, and draws a batch
  reshards: int  # how often replays were resharded to other hosts


def restore_replay(
  replay: Replay,
  logdir: Path,
  saved: RunState,
  extra: Mapping[str, Any],
  *,
  hosts: Hosts,
  keep: bool,
  action_repeat: int,
  say: Callable[[str], None],
) -> Restored:
  """Loads the replay of a checkpoint into an empty one, and opens its log.

  Args:
    saved, extra: as `Checkpoints.restore` gives them; extra is {} where there is no checkpoint.
    keep: experience newer than the checkpoint stays; it is counted.

  Raises:
    ValueError: a log does not fit, or `keep` is asked for with another number of hosts than before.
    HostLost: another host has ended.
  """
  reshards = saved.logs[0].get(RESHARDS, 0)
  if extra and len(saved.logs) != hosts.count:
    if keep:
      raise ValueError(
        f"resume=keep needs the {len(saved.logs)} hosts of the checkpoint, and there are {hosts.count}: leave it out once, "
        "or use as many"
      )
    _reshard(replay, logdir, saved, hosts, say)
    with restoring():
      learner = {name: value for name, value in extra["learner"].items() if name not in ("batch", "slots")}
    return Restored(saved.counters, {"learner": learner}, reshards + 1)
  folder = log_folder(logdir, reshards, hosts.index)
  if not extra and not keep and any(folder.glob("*.rows")):
    say(f"{folder} belongs to no checkpoint, and begins anew; --resume keep would keep it")
  end = saved.logs[hosts.index] if extra else {}
  replay.open_log(folder, None if keep else end, say)
  if extra and end:
    with restoring():
      replay.restore(extra["replay"])
  newer = int(hosts.sum([replay.decisions(end.get("written")) if keep else 0])[0])
  if newer:
    say(f"kept {newer:,} agent steps that were collected after the checkpoint")
    agent_steps = saved.counters.agent_steps + newer
    counters = saved.counters._replace(
      agent_steps=agent_steps, env_steps=saved.counters.env_steps + newer * action_repeat
    )
    return Restored(counters, {}, reshards)  # other episodes follow than those of the checkpoint
  return Restored(saved.counters, extra, reshards)


def log_folder(logdir: Path, reshards: int, host: int) -> Path:
  """Names the folder in which a host's replay is logged: <logdir>/replay for a run that
  was always on one."""
  return logdir / _ROOT / (f"{reshards}-{host}" if reshards or host else "")


def log_folders(logdir: Path) -> list[Path]:
  """Lists the folders in which the replays of a run were logged: that of a run on one
  host first, then those of each dealing and host."""
  root = logdir / _ROOT
  if not root.is_dir():
    return []
  reshards = (
    (tuple(map(int, path.name.split("-"))), path) for path in root.iterdir() if _RESHARDED.fullmatch(path.name)
  )
  return [root, *(path for _, path in sorted(reshards))]


def newest_log(logdir: Path) -> Path | None:
  """Finds the folder in which host 0 logs, or last did; None where no replay is on
  disk."""
  return next((path for path in reversed(log_folders(logdir)) if path.name == _ROOT or path.name.endswith("-0")), None)


def _reshard(replay: Replay, logdir: Path, saved: RunState, hosts: Hosts, say: Callable[[str], None]) -> None:
  """Gives this host its share of all replays. Their logs stay, as long as a checkpoint needs them."""
  reshards = saved.logs[0].get(RESHARDS, 0) + 1
  folder = log_folder(logdir, reshards, hosts.index)
  if hosts.leads:
    _delete_before(logdir, reshards)
  hosts.sum([0])  # nothing is deleted any more
  replay.open_log(folder, {}, say)
  if saved.replay:
    old = [OldLog(log_folder(logdir, reshards - 1, host), end) for host, end in enumerate(saved.logs)]
    replay.take_share(old, hosts.index, hosts.count)
  total = int(hosts.sum([replay.steps])[0])
  say(f"the checkpoint is of {len(saved.logs)} hosts: its replays are resharded, {total:,} steps to {hosts.count}")


def _delete_before(logdir: Path, reshards: int) -> None:
  """Removes the logs that neither of the two newest checkpoints can need, and what a crash has left of the next."""
  folder = logdir / _ROOT
  for path in folder.iterdir() if folder.is_dir() else []:
    number = path.name.partition("-")[0]
    if path.is_dir() and number.isdecimal() and (int(number) < reshards - 2 or int(number) >= reshards):
      shutil.rmtree(path)
    elif path.suffix == ".rows" and reshards > 2:
      path.unlink()
