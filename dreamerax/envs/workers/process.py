"""Owns one worker process: starts it, tells it to step, reads its answers, and notices its death.

The owner sends a `WorkerSetup` as JSON; the worker makes its environments and answers with their spec. From then on the owner
sends commands, and the worker answers each, in order, once the rows are written. An answer begins with DONE, before what is
worth a line in the log, or with FAILED or UNFIT before the reason why the worker leaves. Logs of
episodes that ended follow, as JSON by row, after LOGS. Frames and actions never travel
here, only in shared memory; but behind a command to replay come the actions of each episode, as the bytes of [n, A] float32.
A command to draw is answered with a frame of a film: its height and width, and the bytes of [H, W, 3] uint8; or twice 0,
and why there is none.
"""

import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from dreamerax import die_with_parent
from dreamerax.envs.faults import EnvironmentFault, NoPicture
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

_log = logging.getLogger(__name__)

SLOTS = 2  # versions of each row: one is read while the other is written
_COMMAND = struct.Struct("<iii??")
_SIZE = struct.Struct("<ii")  # of a frame: height and width
LOGS = b"\0"  # between what is worth a line and the logs of episodes that ended
DONE, FAILED, UNFIT = b"+", b"!", b"?"  # UNFIT: starting it again would not help
START_SECONDS = 300.0  # to make environments in, whatever a step may take
_LAST_LINES = 30  # of what a process that crashed had written to stderr
_ABORT_SECONDS = 5.0  # to write its stack in
_LEAVE_SECONDS = 5.0  # to close environments in


class WorkerFault(RuntimeError):
  """A worker crashed, hung, or its environment raised; the message holds its own account of it."""


@dataclass(frozen=True)
class WorkerSetup:
  """The settings that a worker needs before it begins."""

  config: Mapping[str, Any]  # fields of EnvConfig
  rows: tuple[int, ...]  # which rows of the shared arrays are this worker's
  seeds: tuple[int, ...]  # one for each of them, to make it with
  num_envs: int  # rows in all
  skip_nonfinite: bool  # end an episode that shows a number that is not finite, and go on
  film: bool  # make environments that draw themselves for people
  backend: str | None  # renders with this, untried; None: the worker does not render, or finds out for itself
  check: bool = False  # first examine an environment of this configuration, and leave where something is wrong
  examine: tuple[int, int] | None = None  # nothing but that, with so many steps and this seed, and tell all of it


class Command(NamedTuple):
  """An order to step some rows, with the slot that they are written to."""

  slot: int  # of the shared arrays
  low: int  # the first row
  high: int  # before which row to stop
  replay: bool = False  # not a step: episodes are begun and stepped to where they were
  draw: bool = False  # not a step: the environment of the only row is drawn for people

  @classmethod
  def read(cls, message: bytes) -> "Command":
    """Reads what `WorkerProcess.begin` wrote."""
    return cls(*_COMMAND.unpack(message))


class WorkerProcess:
  """Starts a worker. It ends when this object is closed, or with the process that it belongs to."""

  def __init__(self, setup: WorkerSetup, memory: int, environment: Mapping[str, str]):
    """
    Args:
      memory: file descriptor of the shared arrays.
      environment: variables on top of this process's own.
    """
    self.setup = setup
    self.pending: deque[Command] = deque()  # commands that were sent and not answered, the oldest first
    self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
    ours, theirs = socket.socketpair()
    with theirs:
      # A group of its own, so that Ctrl-C asks the owner alone. Its path is ours, so that it finds what we find, and
      # nothing (-P) in the current directory.
      self._process = die_with_parent.start(
        ["-P", "-m", "dreamerax.envs.worker_main", str(theirs.fileno()), str(memory)],
        pass_fds=(theirs.fileno(), memory),
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        stderr=self._stderr,
        start_new_session=True,
      )
    self._connection = Connection(ours.detach())
    self._tell(json.dumps(dataclasses.asdict(setup)).encode())

  @property
  def pid(self) -> int:
    """The id of the process."""
    return self._process.pid

  def spec(self, timeout: float) -> EnvSpec:
    """Waits until the environments are made. Raises WorkerFault."""
    return self.made(timeout)["spec"]

  def made(self, timeout: float) -> dict[str, Any]:
    """The answer to a setup, waited for as `spec` is: the spec, the `remarks` of a
    check, and whether something `draws` with MuJoCo."""
    answer = json.loads(self._answer(timeout))
    return {**answer, "spec": _spec_from_json(answer["spec"])}

  def examined(self, timeout: float) -> dict[str, Any]:
    """The answer to a setup with `examine`: the environment's `spec`, None where it has
    none, and plain data.

    Args:
      timeout: seconds that making the environment, or anything that it answers, may take.

    Raises:
      WorkerFault
    """
    while not (answer := self._answer(timeout)):  # empty: it is alive
      pass
    found = json.loads(answer)
    return {**found, "spec": found["spec"] and _spec_from_json(found["spec"])}

  def begin(self, command: Command, actions: Sequence[np.ndarray] = ()) -> None:
    """Begins to step; a process that is gone shows it in `finish`.

    Args:
      actions: with a command to replay, those of each of its rows that is not marked `skip`, [n, A].
    """
    self.pending.append(command)
    self._tell(_COMMAND.pack(*command))
    for taken in actions:
      self._tell(np.asarray(taken, np.float32).tobytes())

  def finish(self, command: Command, timeout: float) -> dict[int, Mapping[str, float]]:
    """Waits until `command`, and whatever was begun before it, is done. Raises WorkerFault, EnvironmentFault.

    Returns:
      The logs of episodes that ended in it, by row.
    """
    ended: dict[int, Mapping[str, float]] = {}
    while command in self.pending:
      account, _, logs = self._answer(timeout).partition(LOGS)
      self.pending.popleft()
      if account:
        _log.warning("%s", account.decode(errors="replace").rstrip())
      if logs:
        ended |= {int(row): log for row, log in json.loads(logs).items()}
    return ended

  def draw(self, row: int, timeout: float) -> np.ndarray:
    """A row's environment, drawn for people: uint8 [H, W, 3]. No command is pending. Raises WorkerFault, NoPicture."""
    self._tell(_COMMAND.pack(*Command(0, row, row + 1, draw=True)))
    answer = self._answer(timeout)
    height, width = _SIZE.unpack_from(answer)
    if not height:
      raise NoPicture(answer[_SIZE.size :].decode(errors="replace"))
    return np.frombuffer(answer, np.uint8, offset=_SIZE.size).reshape(height, width, 3)

  def hang_up(self) -> None:
    """Lets the process close its environments and end; nothing else is asked of it after that."""
    self._connection.close()

  def close(self) -> None:
    """Waits a while for the process to end, and ends it."""
    self.hang_up()
    try:
      self._process.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._stderr.close()

  def _tell(self, message: bytes) -> None:
    with contextlib.suppress(OSError):  # it is gone; who waits for its answer is told why
      self._connection.send_bytes(message)

  def _answer(self, timeout: float) -> bytes:
    try:
      if not self._connection.poll(timeout):
        raise WorkerFault(f"no answer for {timeout:g} seconds; where it stood:\n{self._abort()}")
      answer = self._connection.recv_bytes()
    except (EOFError, OSError):
      status = self._process.wait()
      name = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
      raise WorkerFault(f"it ended with {name}\n{self._last_words()}".rstrip()) from None
    if answer[:1] in (FAILED, UNFIT):
      kind = WorkerFault if answer[:1] == FAILED else EnvironmentFault
      raise kind(answer[1:].decode(errors="replace").rstrip())
    return answer[1:]

  def _abort(self) -> str:
    """Ends the process in a way that makes it write down its stack."""
    self._process.send_signal(signal.SIGABRT)
    try:
      self._process.wait(_ABORT_SECONDS)
    except subprocess.TimeoutExpired:
      self._process.kill()
    return self._last_words()

  def _last_words(self) -> str:
    self._stderr.seek(0)
    lines = self._stderr.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:])


def frame_to_bytes(frame: np.ndarray) -> bytes:
  """The answer to a command to draw. frame: uint8 [H, W, 3]."""
  return _SIZE.pack(*frame.shape[:2]) + frame.tobytes()


def no_frame_to_bytes(reason: str) -> bytes:
  """The answer to a command to draw, where there is no picture."""
  return _SIZE.pack(0, 0) + reason.encode()


def rows_spec(spec: EnvSpec, num_envs: int) -> dict[str, ArraySpec]:
  """The shared arrays, [SLOTS, E, ...]: a row's observation and what else a transition holds, and what it took.

  `skip` tells the worker to leave a row alone (and it answers with it where an episode could not be replayed), `reset` to
  begin an episode, which has the seed `seed`; `work` is the seconds of this step, and those of them spent drawing.
  """
  flags = ("is_first", "is_last", "is_terminal", "skip", "reset")
  row = {
    **spec.observation,
    "action": ArraySpec((spec.action.size,)),
    "reward": ArraySpec(()),
    "seed": ArraySpec((), "uint32"),
    "work": ArraySpec((2,), "float64"),
    **{name: ArraySpec((), "bool") for name in flags},
  }
  return {name: ArraySpec((SLOTS, num_envs, *array.shape), array.dtype) for name, array in row.items()}


def spec_to_json(spec: EnvSpec) -> dict[str, Any]:
  """Plain data, from which the owner builds the spec again."""
  return {
    "observation": {key: [array.shape, array.dtype] for key, array in spec.observation.items()},
    "action": [spec.action.size, spec.action.discrete, spec.action.groups],
  }


def _spec_from_json(data: Mapping[str, Any]) -> EnvSpec:
  return EnvSpec(
    observation={key: ArraySpec(tuple(shape), dtype) for key, (shape, dtype) in data["observation"].items()},
    action=ActionSpec(*data["action"]),
  )
