"""Counts the kernels that a function starts on a GPU, and times one that does nothing."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.profiler import ProfileData

_CHAIN = 1000  # kernels, each of which waits for the one before


def launches(run: Callable[[], Any]) -> int:
  """Kernels and copies that the GPUs of this process do in one call of `run`; 0 where there are none."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(run())
    (file,) = Path(folder).rglob("*.xplane.pb")
    return count(ProfileData.from_file(str(file)))


def count(trace: ProfileData) -> int:
  """Events on the streams of all GPUs."""
  planes = (plane for plane in trace.planes if plane.name.startswith("/device:GPU"))
  streams = (line for plane in planes for line in plane.lines if line.name.startswith("Stream"))
  return sum(1 for stream in streams for _ in stream.events)


def launch_seconds(repeats: int = 20) -> float:
  """What a kernel takes that has next to nothing to do, in a long chain of them within one program: median."""

  @jax.jit
  def chain(x: jax.Array) -> jax.Array:
    for _ in range(_CHAIN):
      x = jax.lax.optimization_barrier(x * 1.5 + 1)
    return x

  x = jnp.ones(128)
  jax.block_until_ready(chain(x))
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(chain(chain(x)))
    seconds.append(time.perf_counter() - start)
  return statistics.median(seconds) / launches(lambda: chain(chain(x)))
