"""Saves what a run needs to continue, and restores it."""

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from dreamerax.runtime.checkpoint import array_file, checksums, host_part, shapes, state_file
from dreamerax.runtime.checkpoint import folder as checkpoint_folder
from dreamerax.runtime.checkpoint.folder import FOLDER, find_steps
from dreamerax.runtime.checkpoint.metadata import SAVED, STAMP, RunState
from dreamerax.runtime.checkpoint.state_file import STATE, check_readable, check_space, plain_name
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import abstract_state, put, to_host
from dreamerax.runtime.protocol import Agent, State

_ARRAYS = "arrays.bin"
_STORAGE = (OSError, ValueError)  # tensorstore, which writes for orbax, reports a full disk as a ValueError
# Orbax numbers its operations for the whole process, and two threads that save at once get each other's.
_orbax_is_free = Lock()
_log = logging.getLogger(__name__)

Extra = Mapping[str, Any]


class Verified(NamedTuple):
  """The result of reading one checkpoint."""

  env_steps: int
  bytes: int
  problem: str | None  # None: it is whole


class Checkpoints:
  """A folder of checkpoints, each named by its env steps; the newest two are kept. One run at a time may have it.

  A checkpoint is written as <env steps>.new, in the background, and gets its name when all of it, checksums included, is
  on the disk; only then is an older one deleted. So whatever has a name was whole once, and a crash, a full disk or a
  power failure at any moment leaves the earlier ones as they were.

  On several hosts, which share the folder, each has one of these, and all call `restore` and `save`. Host 0 writes what
  all have alike, and begins when the others have written their own parts: see `checkpoint_part`.
  """

  failed: str | None
  """Why the newest save has failed; None: it has not."""

  def __init__(self, folder: Path, say: Callable[[str], None] = _log.warning, hosts: Hosts | None = None):
    """Creates the folder, and removes what a crash has left half-written; on host 0.

    Args:
      say: told of saves that failed and of checkpoints that are damaged; called from a background thread too.
    """
    self._folder, self._say = folder.absolute(), say
    self.failed = None
    self._newest: Counters | None = None  # restored or saved here
    self._unfinished: int | None = None  # env steps of a save that has failed
    self._hosts = hosts or Hosts()
    if self._hosts.leads:
      self._folder.mkdir(parents=True, exist_ok=True)
      host_part.clean_up(self._folder)
      checkpoint_folder.clean_up(self._folder)
    state_file.say_once()
    self._orbax = _orbax(self._hosts)
    self._holds_orbax = False
    self._named = ExitStack()  # of a state that is being saved
    self._thread = ThreadPoolExecutor(1, "checkpoint")
    self._job: Future | None = None

  def save(self, state: State, saved: RunState, extra: Extra | None = None) -> None:
    """Begins to save; waits for an earlier save. Does nothing where the newest checkpoint has these counters.

    Where the storage fails (a full disk, say), `failed` says why, now or later, and nothing is raised.

    Args:
      saved: the same on all hosts, but for the end of the replay's log.
      extra: of this host: dicts of arrays to any depth (`array_file.flatten`); they may change once this has returned.

    Raises:
      HostLost: another host has ended.
    """
    self.wait()
    step = saved.counters.env_steps
    index, arrays = array_file.flatten(extra or {})
    if self._hosts.count > 1 and not self._gather(step, saved.replay, index, arrays):
      return
    if saved.counters == self._newest:
      host_part.clean_up(self._folder)
      return
    try:
      check_space(self._folder, sum(x.nbytes for x in (*jax.tree.leaves(state), *arrays)))
      new = checkpoint_folder.begin(self._folder, step)
      others = host_part.take(self._folder, step, new, self._hosts.count)
      row = {**STAMP, "saved": saved._replace(others=others).to_json(), "shapes": shapes.of(state), "extra": index}
      self._begin_state(new, state if self._hosts.count == 1 else to_host(state))
    except _STORAGE as error:
      self._fail(saved.counters, error)
    else:
      self._job = self._thread.submit(self._finish, new, saved.counters, row, arrays)

  def _gather(self, step: int, log: Mapping[str, Any], index: dict[str, Any], arrays: list[np.ndarray]) -> bool:
    """Waits for the parts of the other hosts; whether this is host 0 and has them all."""
    problem = None
    if not self._hosts.leads:
      problem = host_part.write(self._folder, step, self._hosts.index, log, index, arrays)
    failed = int(self._hosts.sum([problem is not None])[0])
    if problem:
      self._say(
        f"host {self._hosts.index}'s part of the checkpoint at {step:,} env steps could not be saved: {problem}"
      )
    if failed and self._hosts.leads:
      host_part.clean_up(self._folder)
      self.failed = f"{failed} of the other {self._hosts.count - 1} hosts could not save their parts, and say why"
      self._say(f"the checkpoint at {step:,} env steps could not be saved: {self.failed}")
    return self._hosts.leads and not failed

  def restore(self, like: State) -> tuple[State, RunState, dict[str, Any]] | None:
    """The newest undamaged checkpoint, with the extra arrays as NumPy's; None if there is no checkpoint at all.

    Damaged ones that are newer are said, and renamed to <env steps>.bad: the run that continues here leaves them behind.
    The extra arrays are this host's; of host 0 where there was no such host.

    Args:
      like: the wanted state as shapes, dtypes and shardings.

    Raises:
      ValueError: the checkpoint's parameters have other names or shapes, or every checkpoint is damaged.
      HostLost: another host has ended.
    """
    step = self._hosts.ask_first(lambda: _none_as(-1, _newest_whole(self._folder, self._say)))
    if step < 0:
      return None
    path = self._folder / str(step)
    state, saved, extra = _load(path, like, self._hosts)
    if 0 < self._hosts.index <= len(saved.others):
      extra = host_part.read(path, self._hosts.index)
    if self._hosts.leads:
      checkpoint_folder.pass_over(self._folder, step)
    self._newest = saved.counters
    return state, saved, extra

  @property
  def newest(self) -> int | None:
    """Env steps of the newest checkpoint that is complete; its checksums are not looked at."""
    steps = find_steps(self._folder)
    return max((step for step in steps if (self._folder / str(step) / checksums.MANIFEST).exists()), default=None)

  def wait(self) -> None:
    """Waits until everything is saved, or has failed to be."""
    if self._job is not None:
      job, self._job = self._job, None
      job.result()

  def close(self) -> None:
    """Waits, and ends the background threads."""
    try:
      self.wait()
    finally:
      self._thread.shutdown()
      self._end_state()
      self._orbax.close()
      if self._unfinished is not None:  # its writers, which were still at work when it failed, have ended
        checkpoint_folder.discard(self._folder, self._unfinished)

  def _begin_state(self, new: Path, state: State) -> None:
    _orbax_is_free.acquire()
    self._holds_orbax = True
    self._orbax.save(self._named.enter_context(plain_name(new)) / STATE, state)

  def _end_state(self) -> None:
    try:
      self._orbax.wait_until_finished()
    finally:
      self._named.close()
      if self._holds_orbax:
        self._holds_orbax = False
        _orbax_is_free.release()

  def _finish(self, new: Path, counters: Counters, row: dict[str, Any], arrays: list[np.ndarray]) -> None:
    """Does in the background what remains once orbax has a copy of the state."""
    try:
      self._end_state()
      check_readable(new, len(row["shapes"]))
      (new / SAVED).write_text(json.dumps(row))
      with (new / _ARRAYS).open("wb") as file:
        array_file.write(file, arrays)
      checksums.write_manifest(new)
      checkpoint_folder.publish(new)
    except _STORAGE as error:
      self._fail(counters, error)
      return
    self.failed, self._newest = None, counters
    try:
      checkpoint_folder.delete_older(self._folder, counters.env_steps)
    except OSError as error:
      self._say(f"an old checkpoint cannot be deleted: {error}")

  def _fail(self, counters: Counters, error: Exception) -> None:
    with suppress(*_STORAGE):  # the same failure, of what else it was writing
      self._end_state()
    checkpoint_folder.discard(self._folder, counters.env_steps)
    self._unfinished = counters.env_steps
    self.failed = state_file.reason(error)
    self._say(f"the checkpoint at {counters.env_steps:,} env steps could not be saved: {self.failed}")


def load_state(logdir: Path, agent: Agent, say: Callable[[str], None] = _log.warning) -> tuple[State, RunState]:
  """State of the newest undamaged checkpoint in a run directory, on the devices of this machine; changes nothing there.

  Args:
    say: told of newer checkpoints that are damaged.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it was made by an agent of another shape, or every checkpoint is damaged.
  """
  folder = logdir.absolute() / FOLDER
  step = _newest_whole(folder, say)
  if step is None:
    raise FileNotFoundError(f"{folder} holds no checkpoint: train first, or name the directory of another run")
  state, saved, _ = _load(folder / str(step), abstract_state(agent, local_mesh()), Hosts())
  return state, saved


def verify(logdir: Path) -> list[Verified]:
  """Reads every checkpoint of a run directory and compares the checksums; oldest first. Changes nothing."""
  folder = logdir.absolute() / FOLDER
  found = []
  for step in find_steps(folder):
    path = folder / str(step)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    found.append(Verified(step, size, _find_problem(path)))
  return found


def _newest_whole(folder: Path, say: Callable[[str], None]) -> int | None:
  problems = []
  for step in reversed(find_steps(folder)):
    problem = _find_problem(folder / str(step))
    if problem is None:
      for line in problems:
        say(f"passed over: {line}")
      return step
    problems.append(f"the checkpoint at {step:,} env steps: {problem}")
  if problems:
    raise ValueError(
      f"{folder} holds no checkpoint that is whole ({'; '.join(problems)}): "
      "put a copy of one back, or begin a run in another --logdir"
    )
  return None


def _find_problem(checkpoint: Path) -> str | None:
  return checksums.find_problem(checkpoint) or state_file.find_problem(checkpoint)


def _none_as(number: int, value: int | None) -> int:
  return number if value is None else value


def _orbax(hosts: Hosts) -> ocp.StandardCheckpointer:
  """One that this host uses by itself."""
  if hosts.count == 1:
    return ocp.StandardCheckpointer()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=hosts.index, active_processes={hosts.index}, barrier_sync_key_prefix=f"host-{hosts.index}"
  )
  return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _load(path: Path, like: State, hosts: Hosts) -> tuple[State, RunState, dict[str, Any]]:
  """A checkpoint that is known to be whole, with the extra arrays of host 0."""
  row, saved = json.loads((path / SAVED).read_text()), RunState.read(path)
  shapes.check(path, row["shapes"], shapes.of(like))
  with _orbax_is_free, _orbax(hosts) as orbax, plain_name(path) as named:
    if hosts.count == 1:
      state = orbax.restore(named / STATE, like)
    else:  # whole, and then to the devices of all
      whole = orbax.restore(named / STATE, jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like))
      state = put(whole, jax.tree.map(lambda x: x.sharding, like))
  with (path / _ARRAYS).open("rb") as file:
    extra = array_file.read(file, row["extra"])
  return state, saved, extra
