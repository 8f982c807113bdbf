"""Starts worker processes, which step E environments in shared memory while this
process does something else."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from dreamerax.envs.base import EpisodeSoFar, Step, Work
from dreamerax.envs.faults import EnvironmentFault, Failures, NoPicture, last_line
from dreamerax.envs.journal import Journal, is_row
from dreamerax.envs.workers.process import SLOTS, START_SECONDS, Command, WorkerFault, WorkerProcess, rows_spec
from dreamerax.envs.workers.shared_arrays import map_arrays, reserve
from dreamerax.types import EnvSpec, Transition

_log = logging.getLogger(__name__)

_REPLAY_SECONDS = 1.0  # for every step that a worker replays, on top of what a single one may take

# (worker, its rows, a seed for each of them, memory) -> the worker
StartWorker = Callable[[int, Sequence[int], Sequence[int], int], WorkerProcess]


class Workers:
  """Worker processes and the memory that they share; those that fail are started again.

  Rows are dealt out in turn, so that a range of them keeps all workers busy. When a worker fails, the episodes of its rows
  end: the next row repeats the last observation with the reward 0 and is last, not terminal. Every episode has a seed of
  its own, so what led into the failure is not met again.
  """

  def __init__(
    self, start: StartWorker, seeds: Sequence[int], *, workers: int, timeout: float, spec: EnvSpec | None = None
  ):
    """Starts all workers, and waits for them unless it is known what they will show.

    Args:
      seeds: one for each environment; those of its episodes follow from it.
      timeout: seconds that a step may take before its worker counts as hung; there is more time to start in.
      spec: of the environments, where it is known: workers are then waited for when they are first needed.

    Raises:
      ValueError: a worker cannot make its environments; holds its traceback. Where `spec` is given, `begin` and `resume`
        raise it in their first call.
    """
    self.num_envs = len(seeds)
    self.faults = 0  # how often a worker failed, and how many episodes of others ended as their numbers were not finite
    self.work = Work()
    self._ended: dict[int, Mapping[str, float]] = {}  # logs of episodes, of rows that nobody has asked for yet
    self._start, self._seeds, self._timeout = start, seeds, timeout
    self._rows = [range(worker, len(seeds), workers) for worker in range(workers)]
    self._commands = [0] * workers  # sent to each
    self._failures = [Failures() for _ in range(workers)]
    self._memory = reserve()
    self._processes: list[WorkerProcess] = []
    with ExitStack() as stack:
      stack.callback(self.close)
      for worker, rows in enumerate(self._rows):
        self._processes.append(start(worker, rows, [seeds[row] for row in rows], self._memory))
      self.spec = spec or self._made()
      stack.pop_all()
    self._ready = spec is None
    self.arrays = map_arrays(self._memory, rows_spec(self.spec, self.num_envs))  # {name: [SLOTS, E, ...]}
    self.journal = Journal(seeds, self.spec.action.size)
    self._lost = np.zeros(self.num_envs, bool)  # the newest row is no episode's last, and its environment is gone

  def begin(self, command: Command, *, restart: bool) -> None:
    """Begins to step the rows with the actions in the shared arrays, or to reset all of them."""
    self._wait_ready()
    rows = slice(command.low, command.high)
    if restart:
      self.journal.over[rows], self._lost[rows] = True, False
    self.arrays["reset"][command.slot, rows] = self.journal.over[rows]
    self.arrays["skip"][command.slot, rows] = self._lost[rows]
    self._begin_episodes(command, range(command.low, command.high))
    for worker in self._involved(command):
      self._commands[worker] += 1
      self._processes[worker].begin(command)

  def finish(self, command: Command) -> None:
    """Waits until the rows are written.

    Raises:
      EnvironmentFault: a worker fails again and again, or an environment shows what ends the run.
    """
    for worker in self._involved(command):
      self._wait(worker, command, self._timeout)
    now = self._finished(command)
    self.faults += int((now["skip"] & ~self._lost[command.low : command.high]).sum())
    for row in np.flatnonzero(now["skip"]).tolist():
      self._truncate(command.low + row, command.slot)
    self.journal.receive(command.low, now["action"], now["is_first"], now["is_last"])

  def resume(self, command: Command, episodes: Sequence[EpisodeSoFar], newest: Transition) -> np.ndarray:
    """Resumes the rows of `command`, as `EnvBatch.resume` does. A worker that fails
    brings none of them back."""
    self._wait_ready()
    taken = dict(zip(range(command.low, command.high), episodes, strict=True))
    for row, episode in taken.items():
      self.arrays["skip"][command.slot, row] = episode.over
      self.arrays["seed"][command.slot, row] = 0 if episode.over else self.journal.seed(row, episode.number)
    steps = {}
    for worker in self._involved(command):
      for other in tuple(self._processes[worker].pending):
        self._wait(worker, other, self._timeout)  # it would not read so long a message meanwhile
      actions = [taken[row].actions for row in self._rows[worker] if row in taken and not taken[row].over]
      steps[worker] = sum(map(len, actions))
      self._commands[worker] += 1
      self._processes[worker].begin(command, actions)
    for worker, count in steps.items():
      self._wait(worker, command, self._timeout + _REPLAY_SECONDS * count)
    now = self._finished(command)
    gone = np.zeros(len(episodes), bool)
    for index, episode in enumerate(episodes):
      step = Step(
        {key: now[key][index] for key in self.spec.observation}, *(now[name][index] for name in Step._fields[1:5])
      )
      gone[index] = not episode.over and (now["skip"][index] or not is_row(step, newest, index))
    self.journal.resume(command.low, episodes, gone)
    self._lost[command.low : command.high] = False
    return gone

  def draw(self, row: int) -> np.ndarray:
    """Draws one row, as `EnvBatch.render` does; nothing is in flight."""
    self._wait_ready()
    worker = next(index for index, rows in enumerate(self._rows) if row in rows)
    try:
      return self._processes[worker].draw(row, self._timeout)
    except WorkerFault as fault:
      self._replace(worker, fault)
      raise NoPicture(f"its process failed while it was drawn: {last_line(str(fault))}") from None

  def ended(self, low: int, high: int) -> dict[int, Mapping[str, float]]:
    """The logs of episodes that ended in these rows since they were last asked for, by their place among them."""
    return {row - low: self._ended.pop(row) for row in range(low, high) if row in self._ended}

  def close(self) -> None:
    """Ends the processes."""
    for process in self._processes:
      process.hang_up()
    for process in self._processes:
      process.close()
    if self._processes:
      os.close(self._memory)
    self._processes = []

  def _wait_ready(self) -> None:
    """Waits until all workers have made their environments, before anything is asked of
    them."""
    if not self._ready:
      made, self._ready = self._made(), True
      if made != self.spec:
        raise ValueError(f"the environments have the spec {made}, and {self.spec} was expected of them.")

  def _made(self) -> EnvSpec:
    """Returns what the environments of all workers show, once they are made."""
    try:
      specs = [process.spec(max(self._timeout, START_SECONDS)) for process in self._processes]
    except WorkerFault as fault:
      raise ValueError(f"an environment could not be made in a worker process: {fault}") from None
    for worker, spec in enumerate(specs):
      if spec != specs[0]:
        raise ValueError(f"worker {worker} has the spec {spec}, worker 0 {specs[0]}: they must be equal.")
    return specs[0]

  def _involved(self, command: Command) -> list[int]:
    return [i for i, rows in enumerate(self._rows) if any(command.low <= row < command.high for row in rows)]

  def _begin_episodes(self, command: Command, rows: Iterable[int]) -> None:
    """Gives the rows that are to be reset the seed of their next episode."""
    for row in rows:
      if self.arrays["reset"][command.slot, row]:
        self.arrays["seed"][command.slot, row] = self.journal.begin(row)

  def _wait(self, worker: int, command: Command, timeout: float) -> None:
    """Waits until the worker, or the one that takes its place, has done what it was
    told."""
    while True:
      try:
        self._ended |= self._processes[worker].finish(command, timeout)
        return
      except WorkerFault as fault:
        self._replace(worker, fault)

  def _finished(self, command: Command) -> dict[str, np.ndarray]:
    """The rows that a command wrote, {name: [n, ...]}; counts the work that they took."""
    now = {name: array[command.slot, command.low : command.high] for name, array in self.arrays.items()}
    total, rendering = now["work"].sum(0)
    self.work = Work(self.work.total + float(total), self.work.rendering + float(rendering))
    return now

  def _replace(self, worker: int, fault: WorkerFault) -> None:
    """Starts a worker again and repeats what the failed one had not answered, for rows that are to be reset.

    Episodes that it was beginning are not tried again: others are begun. Nor is one that it was replaying.
    """
    names = f"worker {worker} (environments {', '.join(map(str, self._rows[worker]))})"
    self.faults += 1
    _log.warning("%s failed and is started again; its episodes end here. What it said: %s", names, fault)
    self._failures[worker].add(self._commands[worker], names, str(fault))
    pending = self._processes[worker].pending
    self._processes[worker].close()
    rows = list(self._rows[worker])
    self._processes[worker] = self._start(worker, rows, [self._seeds[row] for row in rows], self._memory)
    self._lost[rows] |= ~self.journal.over[rows]
    for command in pending:
      mine = [row for row in rows if command.low <= row < command.high]
      self.arrays["skip"][command.slot, mine] = self._lost[mine] | command.replay
      if not command.replay:
        self._begin_episodes(command, mine)  # those that were begun may have led into the trouble
    try:
      self._processes[worker].spec(max(self._timeout, START_SECONDS))
    except WorkerFault as again:
      raise EnvironmentFault(f"{names} could not be started again: {last_line(str(again))}") from None
    for command in pending:
      self._processes[worker].begin(command)

  def _truncate(self, row: int, slot: int) -> None:
    """Writes the row that ends a lost episode."""
    before = (slot - 1) % SLOTS
    for key in self.spec.observation:
      self.arrays[key][slot, row] = self.arrays[key][before, row]
    self.arrays["reward"][slot, row] = 0
    for name, value in (("is_first", False), ("is_last", True), ("is_terminal", False)):
      self.arrays[name][slot, row] = value
    self._lost[row] = False
