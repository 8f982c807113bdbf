"""A worker process: steps its environments whenever it is told to, and writes what they show into shared memory.

Started by `dreamerax.envs.workers.process`, which describes what it is sent and what it answers, as
`python -m dreamerax.envs.worker_main CONNECTION MEMORY` with two file descriptors.
"""

import faulthandler
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from dreamerax import envs, leftover_threads, own_code
from dreamerax.envs import film
from dreamerax.envs.base import Environment, Step
from dreamerax.envs.check import Examination
from dreamerax.envs.faults import EnvironmentFault, NoPicture, NotFinite, describe, ends_episode, ends_run, is_told
from dreamerax.envs.pictures import suspicions
from dreamerax.envs.suites import rendering
from dreamerax.envs.workers.process import (
  DONE,
  FAILED,
  LOGS,
  SLOTS,
  UNFIT,
  Command,
  WorkerSetup,
  frame_to_bytes,
  no_frame_to_bytes,
  rows_spec,
  spec_to_json,
)
from dreamerax.envs.workers.shared_arrays import map_arrays
from dreamerax.types import EnvSpec

_CHECK_STEPS = 20
_PULSE_SECONDS = 1.0
_LEAVE_SECONDS = 1.0  # for threads that environments have left behind


class _Failed(Exception):
  """An environment raised; the message is all that is to be said."""


class _Skips:
  """Whether episodes with numbers that are not finite are left out, and how many were."""

  def __init__(self, *, allowed: bool):
    self.allowed, self.count = allowed, 0

  def account(self, row: int, breach: NotFinite) -> str:
    """
    Raises:
      EnvironmentFault: they are not left out.
    """
    if not self.allowed:
      raise EnvironmentFault(ends_run(describe(row, breach))) from None
    self.count += 1
    return ends_episode(describe(row, breach), self.count) + "\n" if is_told(self.count) else ""


def main(connection: Connection, memory: int) -> None:
  """Answers until the other side hangs up."""
  faulthandler.enable()  # a crash or an abort leaves a stack in stderr, which the other side reads
  try:
    setup = WorkerSetup(**json.loads(connection.recv_bytes()))
    _serve(connection, memory, setup)
  except (EOFError, BrokenPipeError, ConnectionResetError):
    pass  # nobody is left to answer to
  except (rendering.WrongDevice, _Failed) as error:  # which say it all
    connection.send_bytes(FAILED + str(error).encode())
  except EnvironmentFault as error:
    connection.send_bytes(UNFIT + str(error).encode())
  except Exception:
    connection.send_bytes(FAILED + traceback.format_exc().encode())


def _serve(connection: Connection, memory: int, setup: WorkerSetup) -> None:
  if setup.backend is not None:
    rendering.adopt(setup.backend)
    rendering.check_device()
  config = envs.EnvConfig(**setup.config)
  if setup.examine is not None:
    connection.send_bytes(
      DONE + json.dumps(_examine(config, *setup.examine, _Pulse(connection)), default=float).encode()
    )
    return
  remarks = _check(config) if setup.check else []
  with ExitStack() as stack:
    batch = {row: _make(config, seed, film=setup.film) for row, seed in zip(setup.rows, setup.seeds, strict=True)}
    for env in batch.values():
      stack.callback(env.close)
    spec = next(iter(batch.values())).spec
    made = {"spec": spec_to_json(spec), "remarks": remarks, "draws": "mujoco" in sys.modules}
    connection.send_bytes(DONE + json.dumps(made).encode())
    arrays = map_arrays(memory, rows_spec(spec, setup.num_envs))
    skips = _Skips(allowed=setup.skip_nonfinite)
    slots = [{name: array[slot] for name, array in arrays.items()} for slot in range(SLOTS)]
    while True:
      command = Command.read(connection.recv_bytes())
      if command.draw:
        connection.send_bytes(DONE + _draw(batch[command.low]))
        continue
      arrays = slots[command.slot]
      asked = range(command.low, command.high)
      arrays["work"][[row for row in batch if row in asked]] = 0
      mine = {row: env for row, env in batch.items() if row in asked and not arrays["skip"][row]}
      if command.replay:
        # All of it is read before the first is replayed, so that the other side can go on to the next worker.
        size = (-1, spec.action.size)
        actions = {row: np.frombuffer(connection.recv_bytes(), np.float32).reshape(size).copy() for row in mine}
        account = _replay(mine, actions, arrays)
        logs = {}
      else:
        account, logs = _step(mine, arrays, skips)
      connection.send_bytes(DONE + account.encode() + (LOGS + json.dumps(logs).encode() if logs else b""))


def _check(config: envs.EnvConfig) -> list[str]:
  """Lists what is wrong with an environment and does not keep it from being trained on.

  Raises:
    _Failed: something does.
  """
  remarks = []
  try:
    with closing(_make(replace(config, action_repeat=1), 0, checked=False)) as env:
      for violation in Examination(env, steps=_CHECK_STEPS).violations():
        if violation.fatal:
          raise _Failed(f"task={config.task!r}: {violation}")
        remarks.append(f"task={config.task!r}: {violation}")
      remarks += [f"task={config.task!r}: {violation}" for violation in suspicions(env, config)]
  except _Failed:
    raise
  except BaseException as error:  # of close, and what is no Exception, such as SystemExit
    raise _Failed(f"task={config.task!r}: it raised {own_code.account(error)} while it was looked at") from error
  return remarks


class _Pulse:
  """Tells the other side, once a second at most, that an environment has answered."""

  def __init__(self, connection: Connection):
    self._connection, self._told = connection, time.monotonic()

  def __call__(self) -> None:
    if time.monotonic() - self._told > _PULSE_SECONDS:
      self._connection.send_bytes(DONE)
      self._told = time.monotonic()


def _examine(config: envs.EnvConfig, steps: int, seed: int, alive: Callable[[], None]) -> dict[str, Any]:
  """All that is found out about an environment, as `WorkerProcess.examined` gives it."""
  factory = partial(_make, config, checked=False)
  with closing(factory(seed)) as env:
    examination = Examination(env, factory=factory, steps=steps, seed=seed, alive=alive)
    violations = [violation._replace(cause=None) for violation in examination.violations()]
    known = isinstance(env.spec, EnvSpec)
    return {
      "spec": spec_to_json(env.spec) if known else None,
      "violations": violations,
      "suspicions": [*suspicions(env, config)] if known else [],
      "met": examination.met,
    }


def _make(config: envs.EnvConfig, seed: int, *, checked: bool = True, film: bool = False) -> Environment:
  try:
    return envs.make(config, seed, checked=checked, film=film)
  except ValueError as error:  # which says it all
    raise _Failed(str(error)) from error
  except SystemExit as end:
    raise _Failed(f"task={config.task!r}: code that it called ended it by sys.exit({end.code!r})") from end


def _step(
  batch: Mapping[int, Environment], arrays: Mapping[str, np.ndarray], skips: _Skips
) -> tuple[str, dict[int, Mapping[str, float]]]:
  """Steps the environments of these rows, or resets them. A row whose episode has to end is marked `skip`.

  Returns:
    Why, and the logs of the episodes that ended, by row.
  """
  account, logs = "", {}
  for row, env in batch.items():
    try:
      if arrays["reset"][row]:
        arrays["action"][row] = 0
        _write(env, partial(env.reset, int(arrays["seed"][row])), row, arrays)
      else:
        log = _write(env, partial(env.step, arrays["action"][row].copy()), row, arrays)
        if log and arrays["is_last"][row]:
          logs[row] = dict(log)
    except NotFinite as breach:
      account += skips.account(row, breach)
      if arrays["reset"][row]:  # there is nothing to end
        raise _Failed(describe(row, breach)) from None
      arrays["skip"][row] = True
    except Exception as error:
      raise _Failed(describe(row, error)) from None
  return account, logs


def _replay(
  batch: Mapping[int, Environment], actions: Mapping[int, np.ndarray], arrays: Mapping[str, np.ndarray]
) -> str:
  """Brings the episodes of these rows back. Where that raises, marks the row `skip`; returns the tracebacks."""
  accounts = []
  for row, env in batch.items():
    try:
      _write(env, partial(env.replay, int(arrays["seed"][row]), actions[row]), row, arrays)
    except Exception as error:
      arrays["skip"][row] = True
      accounts.append(f"could not bring an episode back: {describe(row, error)}\n")
  return "".join(accounts)


def _draw(env: Environment) -> bytes:
  try:
    return frame_to_bytes(film.frame(env))
  except NoPicture as error:
    return no_frame_to_bytes(str(error))


def _write(
  env: Environment, act: Callable[[], Step], row: int, arrays: Mapping[str, np.ndarray]
) -> Mapping[str, float]:
  """Writes the step that `act` of `env` returns, and how long it took; returns its log."""
  began, drawn = time.perf_counter(), env.rendering_seconds
  step = act()
  for key, value in step.observation.items():
    arrays[key][row] = value
  for name in ("reward", "is_first", "is_last", "is_terminal"):
    arrays[name][row] = getattr(step, name)
  arrays["work"][row] = time.perf_counter() - began, env.rendering_seconds - drawn
  return step.log


def _arguments(words: Sequence[str]) -> tuple[Connection, int]:
  connection, memory = map(int, words)
  return Connection(connection), memory


if __name__ == "__main__":
  main(*_arguments(sys.argv[1:]))
  leftover_threads.end_in(_LEAVE_SECONDS, 0)
