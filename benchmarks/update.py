"""Measures how long one update takes, and which share of the machine's matrix multiplication it reaches.

    python -m benchmarks.update --preset dreamer-v3 --size 1m --batch 16 --length 64 --repeats 5

One jitted update with donated state on random pixels and six actions, as in dmc/walker_walk; no environment runs.
Updates and large matrix products are timed in turn, so that a machine that slows down slows both. `share_of_matmul` is the
time that the arithmetic of the update would take at the rate of those products, as a share of the time it did take.

`--in-flight 4` dispatches four updates before it waits for the last, as training does. On a GPU, `launches` is the number of
kernels that an update starts, and `share_of_launches` what so many of them would take if they did nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import machine, report, with_batch
from benchmarks.launches import launch_seconds, launches
from dreamerax import presets
from dreamerax.agent import Agent
from dreamerax.envs.suites.dm_control import IMAGE_SIZE
from dreamerax.ops.backend import on_cpu
from dreamerax.process_memory import restart_with_huge_pages
from dreamerax.run_config import RunConfig
from dreamerax.runtime.devices.mesh import divide_cpu, local_mesh
from dreamerax.runtime.devices.sharding import batch_sharded, init_state, replicated
from dreamerax.runtime.learn.compilation import Source, compile_source
from dreamerax.runtime.telemetry.profile import large_product
from dreamerax.types import ActionSpec, ArraySpec, Batch, EnvSpec, Transition

# GFLOP of one update per replayed step, counted for convolutions in their plain form and without rematerialisation: 105 and
# 1337 for 16 x 64 steps of 64x64 pixels. Other forms compute the same with less, and are then said to reach a larger share.
GFLOP_PER_STEP = {("dreamer-v3", "1m", 64): 105 / 1024, ("dreamer-v3", "12m", 64): 1337 / 1024}


def measure(preset: str, config: RunConfig, repeats: int, in_flight: int = 1) -> dict[str, Any]:
  """One row: median, least and most seconds of an update, of `repeats` times `in_flight` after some that are not counted."""
  if repeats < 1 or in_flight < 1:
    raise ValueError(f"repeats={repeats}, in_flight={in_flight}: take at least one measurement of one update.")
  size, length = config.replay.batch_size, config.replay.batch_length
  agent = Agent(config.agent, pixels(config))
  mesh = local_mesh()
  everywhere, split = replicated(mesh), batch_sharded(mesh)
  state = init_state(agent, mesh, jax.random.key(0))
  batch = jax.device_put(synthetic(agent, size, length), split)
  key = jax.device_put(jax.random.key(1), everywhere)
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), (state, batch, key))
  start = time.perf_counter()
  compiled = compile_source(Source(agent.update, shapes, (everywhere, split, everywhere), donated=(0,)))
  compile_seconds = time.perf_counter() - start

  def update() -> Any:
    nonlocal state
    state, latents, metrics = compiled(state, batch, key)
    return latents, metrics

  def updates() -> None:
    jax.block_until_ready([update() for _ in range(in_flight)])

  dtype = agent.compute_dtype
  matmul, product_flops = large_product(dtype)
  _seconds(updates), _seconds(matmul)
  pairs = [(_seconds(updates) / in_flight, _seconds(matmul)) for _ in range(repeats)]
  seconds, products = (list(column) for column in zip(*pairs, strict=True))
  median = statistics.median(seconds)
  devices = 1 if on_cpu() else mesh.size  # all devices of a CPU are the same cores
  rate = devices * 1e-9 * product_flops / statistics.median(products)  # GFLOP/s
  kernels = 0 if on_cpu() else launches(update)
  per_step = GFLOP_PER_STEP.get((preset, config.size, config.env.image_size or IMAGE_SIZE))
  gflop = None if per_step is None else per_step * size * length
  return {
    "benchmark": "update",
    "preset": preset,
    "size": config.size,
    "image_size": config.env.image_size or IMAGE_SIZE,
    "batch": size,
    "length": length,
    "dtype": dtype,
    "in_flight": in_flight,
    "seconds_per_update": median,
    "min": min(seconds),
    "max": max(seconds),
    "images_per_second": size * length / median,
    "gflop": gflop,
    "matmul_gflop_per_second": rate,
    "share_of_matmul": None if gflop is None else gflop / rate / median,
    "launches": kernels or None,
    "share_of_launches": kernels * launch_seconds() / median if kernels else None,
    "compile_seconds": compile_seconds,
    "machine": machine(),
  }


def synthetic(agent: Agent, size: int, length: int) -> Batch:
  """Random steps [B, T] of one long episode, with zeros as stored latents."""
  rng = np.random.default_rng(0)
  flag = np.zeros((size, length), bool)
  steps = Transition(
    observation={
      name: rng.integers(256, size=(size, length, *array.shape), dtype=np.uint8)
      for name, array in agent.spec.observation.items()
    },
    action=rng.uniform(-1, 1, (size, length, agent.spec.action.size)).astype(np.float32),
    reward=rng.uniform(size=(size, length)).astype(np.float32),
    is_first=flag,
    is_last=flag,
    is_terminal=flag,
  )
  latents = {name: jnp.zeros((size, *array.shape), array.dtype) for name, array in agent.latent_spec.items()}
  return Batch(steps, latents)


def pixels(config: RunConfig) -> EnvSpec:
  """What the benchmarks' random environment shows and takes."""
  side = config.env.image_size or IMAGE_SIZE
  return EnvSpec({"image": ArraySpec((side, side, 3), "uint8")}, ActionSpec(6))


def _seconds(fn: Callable[[], Any]) -> float:
  start = time.perf_counter()
  fn()
  return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--preset", default="dreamer-v3")
  parser.add_argument("--size", nargs="+", help="one row for each; the preset's default by default")
  parser.add_argument("--image-size", type=int, help="side in pixels; the preset's own by default")
  parser.add_argument("--batch", type=int, help="sequences per batch; the preset's own by default")
  parser.add_argument("--length", type=int, help="steps per sequence; the preset's own by default")
  parser.add_argument("--repeats", type=int, default=5, help="timed measurements")
  parser.add_argument("--in-flight", type=int, default=1, help="updates of a measurement, dispatched before it waits")
  options = parser.parse_args(arguments)
  rows = []
  for size in options.size or [None]:
    config = presets.build(options.preset, size)
    env = replace(config.env, image_size=options.image_size or config.env.image_size)
    config = replace(config, env=env, replay=with_batch(config.replay, options.batch, options.length))
    divide_cpu(config.mesh, config.replay.batch_size)  # as `dreamerax train` does
    rows.append(measure(options.preset, config, options.repeats, options.in_flight))
  report(rows)


if __name__ == "__main__":
  restart_with_huge_pages()  # as `dreamerax train` does
  main()
