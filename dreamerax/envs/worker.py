"""A worker process: steps its environments whenever it is told to, and writes what they show into shared memory.

Started by `dreamerax.envs.process`, which describes what it is sent and what it answers, as
`python -m dreamerax.envs.worker CONNECTION MEMORY` with two file descriptors.
"""

import faulthandler
import json
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection

import numpy as np

from dreamerax import envs
from dreamerax.envs import rendering
from dreamerax.envs.base import Environment, Step
from dreamerax.envs.process import DONE, FAILED, SLOTS, Command, Setup, rows_spec, spec_to_json
from dreamerax.envs.shared_arrays import map_arrays


def main(connection: Connection, memory: int) -> None:
  """Answers until the other side hangs up."""
  faulthandler.enable()  # a crash or an abort leaves a stack in stderr, which the other side reads
  try:
    setup = Setup(**json.loads(connection.recv_bytes()))
    _serve(connection, memory, setup)
  except (EOFError, BrokenPipeError, ConnectionResetError):
    pass  # nobody is left to answer to
  except Exception:
    connection.send_bytes(FAILED + traceback.format_exc().encode())


def _serve(connection: Connection, memory: int, setup: Setup) -> None:
  if setup.backend is not None:
    rendering.adopt(setup.backend)
  config = envs.EnvConfig(**setup.config)
  with ExitStack() as stack:
    batch = {row: envs.make(config, seed) for row, seed in zip(setup.rows, setup.seeds, strict=True)}
    for env in batch.values():
      stack.callback(env.close)
    spec = next(iter(batch.values())).spec
    connection.send_bytes(DONE + json.dumps(spec_to_json(spec)).encode())
    arrays = map_arrays(memory, rows_spec(spec, setup.num_envs))
    slots = [{name: array[slot] for name, array in arrays.items()} for slot in range(SLOTS)]
    ended = dict.fromkeys(batch, True)
    while True:
      slot, low, high = Command.read(connection.recv_bytes())
      asked = {row: env for row, env in batch.items() if low <= row < high}
      _step(asked, ended, slots[slot])
      connection.send_bytes(DONE)


def _step(batch: Mapping[int, Environment], ended: dict[int, bool], arrays: Mapping[str, np.ndarray]) -> None:
  """Steps the environments of these rows, or resets them; rows that are marked `skip` are left as they are."""
  for row, env in batch.items():
    arrays["work"][row] = 0
    if arrays["skip"][row]:
      continue
    began, drawn = time.perf_counter(), env.rendering_seconds
    if ended[row] or arrays["restart"][row]:
      arrays["action"][row] = 0
      step = env.reset()
    else:
      step = env.step(arrays["action"][row].copy())
    ended[row] = bool(step.is_last)
    _write(step, row, arrays)
    arrays["work"][row] = time.perf_counter() - began, env.rendering_seconds - drawn


def _write(step: Step, row: int, arrays: Mapping[str, np.ndarray]) -> None:
  for key, value in step.observation.items():
    arrays[key][row] = value
  for name in ("reward", "is_first", "is_last", "is_terminal"):
    arrays[name][row] = getattr(step, name)


def _arguments(words: Sequence[str]) -> tuple[Connection, int]:
  connection, memory = map(int, words)
  return Connection(connection), memory


if __name__ == "__main__":
  main(*_arguments(sys.argv[1:]))
