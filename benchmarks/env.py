"""How fast environments deliver frames, and how that divides into physics and rendering.

    python -m benchmarks.env --task dmc/walker_walk --envs 4 --rendering balanced

A frame is one agent step of one environment. `physics_ms` and `render_ms` are medians for one frame: the first is the
simulator's step with the task's own Python, its action repeat included, the second the picture.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import machine, report, timed
from dreamerax.envs import EnvBatch, EnvConfig, make, make_batch
from dreamerax.envs.check import random_action
from dreamerax.envs.dm_control import ALIASES

# Figures are taken over this many stretches of --steps each.
REPEATS = 5


def measure(config: EnvConfig, num_envs: int, steps: int) -> dict[str, Any]:
  """One row: frames per second of `num_envs` environments, median, least and most of REPEATS stretches of `steps`."""
  batch = make_batch(config, num_envs, seed=0)
  batch.reset()
  seconds = timed(lambda: _collect(batch, steps), REPEATS)
  batch.close()
  frames = num_envs * steps
  row: dict[str, Any] = {
    "benchmark": "env",
    "task": config.task,
    "envs": num_envs,
    "rendering": config.rendering,
    "action_repeat": config.action_repeat,
    "frames_per_second": frames / seconds["median"],
    "min": frames / seconds["max"],
    "max": frames / seconds["min"],
  }
  return row | _parts(config, steps) | {"machine": machine()}


def _collect(batch: EnvBatch, steps: int) -> None:
  rng = np.random.default_rng(0)
  for _ in range(steps):
    batch.step(np.stack([random_action(batch.spec.action, rng) for _ in range(batch.num_envs)]))


def _parts(config: EnvConfig, steps: int) -> dict[str, float | None]:
  """Physics and rendering apart: the same task without its picture takes what the picture does not."""
  if not config.task.startswith("dmc/"):
    return {"physics_ms": None, "render_ms": None}
  whole = _step_seconds(config, steps)
  without = EnvConfig(config.task, config.action_repeat, observations=_vectors(config))
  physics = _step_seconds(without, steps)
  return {"physics_ms": 1e3 * physics, "render_ms": 1e3 * (whole - physics)}


def _vectors(config: EnvConfig) -> tuple[str, ...]:
  """The names of the task's own observations."""
  from dm_control import suite

  name = config.task.removeprefix("dmc/")
  name = ALIASES.get(name, name)
  domain, task = next(pair for pair in suite.ALL_TASKS if "_".join(pair) == name)
  return tuple(suite.load(domain, task).observation_spec())


def _step_seconds(config: EnvConfig, steps: int) -> float:
  """Median seconds of one agent step."""
  env = make(config, seed=0)
  rng = np.random.default_rng(0)
  seconds = []
  is_last = True
  for _ in range(steps + 1):
    if is_last:
      env.reset()
    start = time.perf_counter()
    is_last = env.step(random_action(env.spec.action, rng)).is_last
    seconds.append(time.perf_counter() - start)
  env.close()
  return float(np.median(seconds))


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--task", default="dmc/cartpole_balance")
  parser.add_argument("--envs", type=int, nargs="+", default=[1, 4], help="one row for each")
  parser.add_argument("--steps", type=int, default=50, help="agent steps of every environment per stretch")
  parser.add_argument("--rendering", nargs="+", default=["published", "balanced"], help="one row for each")
  parser.add_argument("--action-repeat", type=int, default=1)
  options = parser.parse_args(arguments)
  configs = [EnvConfig(options.task, options.action_repeat, rendering=rendering) for rendering in options.rendering]
  report([measure(config, num_envs, options.steps) for config in configs for num_envs in options.envs])


if __name__ == "__main__":
  main()
