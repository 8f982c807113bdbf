"""States whose every number tells the env steps they were saved at, and a process that saves them until it is killed."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dreamerax.runtime.checkpoint.checkpoints import Checkpoints, RunState
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import replicated


def numbers(env_steps: int, size: int = 1000) -> np.ndarray:
  """float32 [size], which cannot be compressed and is another for any other env steps."""
  return np.random.default_rng(env_steps).normal(size=size).astype(np.float32)


def make_state(env_steps: int, size: int = 1000) -> dict[str, Any]:
  return jax.device_put({"params": {"k": numbers(env_steps, size)}}, replicated(local_mesh()))


def like(size: int = 1000) -> dict[str, Any]:
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), make_state(0, size))


def make_saved(env_steps: int, updates: int = 7) -> RunState:
  return RunState(
    Counters(env_steps, env_steps // 2, updates), 1.5, 3, 60, {"last": 5}, 0, {"row": 2**60 + env_steps}, 0, Counters()
  )


def make_extra(env_steps: int) -> dict[str, Any]:
  return {"carry": {"deter": numbers(-env_steps % 1000, 100)}}


def check_whole(restored: tuple[Any, RunState, dict[str, Any]], size: int = 1000) -> int:
  """Everything restored was saved at the same env steps, which are returned."""
  state, row, extra = restored
  step = row.counters.env_steps
  assert row == make_saved(step)
  np.testing.assert_array_equal(state["params"]["k"], numbers(step, size))
  np.testing.assert_array_equal(extra["carry"]["deter"], make_extra(step)["carry"]["deter"])
  return step


def save_until_killed(folder: Path, done: Connection) -> None:
  """Continues at the newest checkpoint; sends the env steps of each one once it is saved."""
  checkpoints = Checkpoints(folder)
  restored = checkpoints.restore(like())
  step = check_whole(restored) if restored else 0
  while True:
    step += 1
    checkpoints.save(make_state(step), make_saved(step), make_extra(step))
    checkpoints.wait()
    assert checkpoints.failed is None
    done.send(step)
