"""Times the stages of some iterations of a run, each waited for, beside the machine's limits."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax.envs.base import Work

STAGES = {
  "render": "drawing, in whichever process; overlaps with all else in a run",
  "physics": "the rest of the environments' steps, likewise",
  "envs": "waiting for environments",
  "policy": "choosing actions",
  "insert": "into replay",
  "sample": "batches from replay",
  "transfer": "batches to the devices",
  "update": "the jitted update",
  "write_back": "refreshed latents into replay",
  "log": "metrics to disk",
}
_COPY = 2**26  # bytes that the memory's speed is measured with


class Profile(NamedTuple):
  """Some iterations of a run, with every stage waited for."""

  seconds: Mapping[str, float]  # by stage, summed over the iterations
  work: Work  # of the environments meanwhile
  agent_steps: int
  updates: int
  flops: Mapping[str, int]  # of one update's matrix products and convolutions by dtype, on all hosts together
  batch_bytes: int

  def lines(self) -> list[str]:
    """A table for people: milliseconds for an agent step and for each time that it is done, and shares of a limit."""
    sections = {**self.seconds, "render": self.work.rendering, "physics": self.work.total - self.work.rendering}
    waited = sum(self.seconds.values())
    lines = [f"{'stage':<11}{'ms/agent step':>14}{'ms each':>10}{'share':>8}"]
    limits = self._limits()
    for name, what in STAGES.items():
      seconds = sections.get(name, 0.0)
      count = self.updates if name in ("sample", "transfer", "update", "write_back") else self.agent_steps
      share = f"{seconds / waited:.1%}" if name in self.seconds else ""
      each = 1e3 * seconds / max(count, 1)
      line = f"{name:<11}{1e3 * seconds / self.agent_steps:>14.3f}{each:>10.3f}{share:>8}  {what}"
      lines.append(line + (f"; {limits[name]}" if name in limits else ""))
    return lines

  def _limits(self) -> dict[str, str]:
    if not self.updates:
      return {}
    limits = {}
    update, sample = self.seconds["update"] / self.updates, self.seconds["sample"] / self.updates
    rates = {dtype: matmul_rate(dtype) for dtype in self.flops}
    least = sum(flops / rates[dtype] for dtype, flops in self.flops.items()) / jax.process_count()
    names = " and ".join(f"{rate / 1e9:,.0f} GFLOP/s ({dtype})" for dtype, rate in rates.items())
    if rates:
      limits["update"] = f"{100 * least / update:.3g}% of {names}, the devices' matrix products"
    if sample > 0:
      copy = memcpy_rate()
      limits["sample"] = f"{self.batch_bytes / sample / copy:.0%} of {copy / 1e9:.1f} GB/s, this memory's copies"
    return limits


def matmul_rate(dtype: str) -> float:
  """FLOP/s of this process's devices in large products as JAX computes them; all devices of a CPU are the same one."""
  multiply, flops = large_product(dtype)
  multiply()
  seconds = []
  for _ in range(5):
    began = time.perf_counter()
    multiply()
    seconds.append(time.perf_counter() - began)
  devices = 1 if jax.default_backend() == "cpu" else jax.local_device_count()
  return devices * flops / statistics.median(seconds)


def large_product(dtype: str) -> tuple[Callable[[], Any], int]:
  """A matrix product on the first device, which is waited for, and its floating-point operations.

  So large that starting it takes no time to speak of: a GPU has done in 0.03 ms what a CPU works at for 0.1 s.
  """
  side = 2048 if jax.default_backend() == "cpu" else 8192
  left, right = jax.random.normal(jax.random.key(0), (2, side, side)).astype(dtype)
  multiply = jax.jit(jnp.matmul)
  return lambda: jax.block_until_ready(multiply(left, right)), 2 * side**3


def memcpy_rate() -> float:
  """Bytes/s that one thread copies between large arrays in memory."""
  source, target = np.ones((2, _COPY), np.uint8)
  seconds = []
  for _ in range(5):
    began = time.perf_counter()
    np.copyto(target, source)
    seconds.append(time.perf_counter() - began)
  return _COPY / statistics.median(seconds)
