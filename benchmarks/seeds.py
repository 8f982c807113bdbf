"""Measures whether one vmapped update of several seeds takes less than as many updates of one.

    python -m benchmarks.seeds --preset quick --seeds 4 --repeats 5

Random pixels and six actions, as in benchmarks.update. Both are timed in turn; `gain` is how many times faster all agents are
updated together.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.common import machine, report, with_batch
from benchmarks.update import pixels, synthetic
from dreamerax import presets
from dreamerax.agent import Agent
from dreamerax.process_memory import restart_with_huge_pages
from dreamerax.run_config import RunConfig
from dreamerax.runtime.devices.mesh import divide_cpu, local_mesh
from dreamerax.runtime.devices.sharding import batch_sharded, init_state, replicated
from dreamerax.runtime.learn.compilation import Source, compile_source
from dreamerax.runtime.learn.seed_group import vmapped


def measure(preset: str, config: RunConfig, seeds: int, repeats: int) -> dict[str, Any]:
  """One row: median, least and most seconds in which the agents of all seeds make an update, together and one by one."""
  if repeats < 1:
    raise ValueError(f"repeats={repeats}: take at least one measurement.")
  size, length = config.replay.batch_size, config.replay.batch_length
  agent, mesh = Agent(config.agent, pixels(config)), local_mesh()
  everywhere, split = replicated(mesh), batch_sharded(mesh)
  states = [init_state(agent, mesh, jax.random.key(seed)) for seed in range(seeds)]
  batch = jax.device_put(synthetic(agent, size, length), split)
  key = jax.device_put(jax.random.key(1), everywhere)
  arguments = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), (states[0], batch, key)
  )
  source = Source(agent.update, arguments, (everywhere, split, everywhere), donated=(0,))
  single, compile_single = _timed(lambda: compile_source(source))
  grouped, compile_together = _timed(lambda: compile_source(vmapped(source, seeds)))
  copies = [jax.tree.map(jnp.copy, state) for state in states]

  def one_by_one() -> None:
    states[:] = [jax.block_until_ready(single(state, batch, key))[0] for state in states]

  def together() -> None:
    copies[:] = [each[0] for each in jax.block_until_ready(grouped(tuple(copies), (batch,) * seeds, (key,) * seeds))]

  one_by_one(), together()
  pairs = [(_timed(one_by_one)[1], _timed(together)[1]) for _ in range(repeats)]
  singly, jointly = (list(column) for column in zip(*pairs, strict=True))
  return {
    "benchmark": "seeds",
    "preset": preset,
    "size": config.size,
    "seeds": seeds,
    "batch": size,
    "length": length,
    "seconds_one_by_one": statistics.median(singly),
    "one_by_one_min": min(singly),
    "one_by_one_max": max(singly),
    "seconds_together": statistics.median(jointly),
    "together_min": min(jointly),
    "together_max": max(jointly),
    "gain": statistics.median(singly) / statistics.median(jointly),
    "compile_seconds_single": compile_single,
    "compile_seconds_together": compile_together,
    "machine": machine(),
  }


def _timed(fn: Callable[[], Any]) -> tuple[Any, float]:
  start = time.perf_counter()
  result = fn()
  return result, time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--preset", default="quick")
  parser.add_argument("--size", help="the preset's default by default")
  parser.add_argument("--seeds", type=int, nargs="+", default=[4], help="one row for each")
  parser.add_argument("--batch", type=int, help="sequences per batch; the preset's own by default")
  parser.add_argument("--length", type=int, help="steps per sequence; the preset's own by default")
  parser.add_argument("--repeats", type=int, default=5, help="timed rounds")
  options = parser.parse_args(arguments)
  config = presets.build(options.preset, options.size)
  config = replace(config, replay=with_batch(config.replay, options.batch, options.length))
  divide_cpu(config.mesh, config.replay.batch_size)  # as `dreamerax train` does
  report([measure(options.preset, config, seeds, options.repeats) for seeds in options.seeds])


if __name__ == "__main__":
  restart_with_huge_pages()
  main()
