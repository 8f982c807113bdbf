"""Measures how fast environments deliver frames, and what share that is of what the renderer alone can do.

    python -m benchmarks.env --task dmc/walker_walk --envs 16 --rendering balanced --workers 0 2
    python -m benchmarks.env --task mjx/walker_walk --envs 1 16 64 --workers 0
    python -m benchmarks.env --suite mjx --action-repeat 2

With `--suite`, tasks of a suite whose environments step together are measured over 1 to 1,024 environments, beside those of
the same names in dmc/, in worker processes and without; only frames, start and memory are taken there.

A frame is one agent step of one environment. Actions are random; with worker processes both halves of the environments are
in flight, as in a run. Each row is measured in a process of its own. `start_seconds` is what making the environments and
their first observations takes, compilation included, and `memory_mib` what the process and its workers hold after the first
stretch.

Of dmc/ tasks, `renderer` is what the renderer alone delivers when as many processes as there are workers (one without) draw
at the same time, in stretches between those of the environments, and `share` the median ratio of the two. `physics_ms` and
`render_ms` are medians for one frame there: the first is the simulator's step with the task's own Python, its action repeat
included, the second the picture. `dm_control` is what as many processes with as many environments deliver without dreamerax,
each environment with the rendering context, buffer and threads that dm_control gives it, and `times_dm_control` the median
ratio. `check_share` is the part of a step of one environment that the check of its answers takes: one process takes a step
with it and one without it in turn, and medians are compared; `check_us` is the check alone, and `step_us` the step.
`pixels_differ` and `mean_error` compare pictures with the published ones.
"""

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil

from benchmarks.common import machine, report
from dreamerax.envs import EnvBatch, EnvConfig, WorkerConfig, check_task, make, make_batch
from dreamerax.envs.contract import Checked
from dreamerax.envs.suites import registry
from dreamerax.envs.suites.actions import BoxActions, random_actions
from dreamerax.envs.suites.dm_control import ALIASES, CAMERAS, IMAGE_SIZE, QUALITIES

# Figures are taken over this many stretches of --steps each.
REPEATS = 5
CORES = WorkerConfig().processes(1000)
SUITE_TASKS = ("cartpole_balance", "walker_walk")
SUITE_ENVS, BESIDE = (1, 16, 64, 256, 1024), (4, 16)  # environments of --suite's rows, and of dmc/'s beside them
FRAMES = 2048  # of a stretch of these rows, and at least two steps of every environment
PAIRS, CALLS = 20, 1000  # times --steps pairs of a step with and one without the check; calls of the check alone


@dataclass(frozen=True)
class Row:
  """What one row is of."""

  config: EnvConfig
  num_envs: int
  workers: int
  steps: int
  """Of every environment, in a stretch."""
  parts: bool = True
  """Whether a dmc/ task is taken apart, and measured beside its renderer and dm_control."""


def measure(row: Row) -> dict[str, Any]:
  """Frames per second of a row's environments, median, least and most of REPEATS stretches, and the other figures."""
  config, num_envs, workers, steps = row.config, row.num_envs, row.workers, row.steps
  apart = row.parts and config.task.startswith("dmc/")
  processes = max(1, min(num_envs, workers))
  rates, parts, plain = [], [], []
  spawn = multiprocessing.get_context("spawn")
  began = time.perf_counter()
  with (
    closing(make_batch(config, num_envs, 0, WorkerConfig(workers))) as batch,
    ProcessPoolExecutor(processes, mp_context=spawn) as renderers,
  ):
    halves, rng = batch.split(), np.random.default_rng(0)
    for half in halves:
      half.reset()
    started, memory = time.perf_counter() - began, 0.0
    for _ in range(REPEATS + 1):
      rates.append(_collect(halves, steps, rng))
      memory = memory or _memory_mib()  # before other processes draw
      if not apart:
        continue
      parts.append(list(renderers.map(_parts, [config] * processes, [steps] * processes)))
      shares = [num_envs // processes + (index < num_envs % processes) for index in range(processes)]
      plain.append(sum(renderers.map(_plain_rate, [config] * processes, shares, [steps] * processes)))
  rates, parts, plain = rates[1:], parts[1:], plain[1:]  # the first of each warms up
  figures: dict[str, Any] = {
    "benchmark": "env",
    "task": config.task,
    "envs": num_envs,
    "workers": workers,
    "rendering": config.rendering if registry.find(config.task).draws else None,
    "image_size": config.image_size,
    "action_repeat": config.action_repeat,
    "frames_per_second": float(np.median(rates)),
    "min": min(rates),
    "max": max(rates),
    "start_seconds": started,
    "memory_mib": memory,
  }
  if apart:
    alone = [sum(1 / render for _, render in stretch) for stretch in parts]
    physics, render = np.median([part for stretch in parts for part in stretch], 0)
    figures |= {
      "renderer": float(np.median(alone)),
      "share": float(np.median(np.divide(rates, alone))),
      "dm_control": float(np.median(plain)),
      "times_dm_control": float(np.median(np.divide(rates, plain))),
      "physics_ms": 1e3 * float(physics),
      "render_ms": 1e3 * float(render),
      **_check_costs(config, steps),
      **_differences(config),
    }
  return figures | {"machine": machine()}


def measure_apart(row: Row) -> dict[str, Any]:
  """The same in a process of its own, which holds nothing of the rows before."""
  with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
    return process.submit(measure, row).result()


def _memory_mib() -> float:
  """What this process and those that it has started hold."""
  own = psutil.Process()
  return sum(process.memory_info().rss for process in (own, *own.children(recursive=True))) / 2**20


def _collect(parts: Sequence[EnvBatch], steps: int, rng: np.random.Generator) -> float:
  """Frames per second of `steps` steps of every environment; none is in flight before and after."""
  start = time.perf_counter()
  for i in range(steps + 1):
    for part in parts:
      if i > 0:
        part.receive()
      if i < steps:
        part.send(random_actions(part.spec.action, rng, part.num_envs))
  return sum(part.num_envs for part in parts) * steps / (time.perf_counter() - start)


def _parts(config: EnvConfig, steps: int) -> tuple[float, float]:
  """Seconds of physics and of rendering: the same task without its picture takes what the picture does not."""
  without = replace(config, observations=_vectors(config))
  physics = _step_seconds(without, steps)
  return physics, _step_seconds(config, steps) - physics


def _plain_rate(config: EnvConfig, num_envs: int, steps: int) -> float:
  """Frames per second of dm_control's own environments, one after the other, as somebody would write it without dreamerax."""
  from dm_control import suite

  domain, behaviour = _names(config)
  envs = [suite.load(domain, behaviour, task_kwargs={"random": seed}) for seed in range(num_envs)]
  size, camera_id = config.image_size or IMAGE_SIZE, CAMERAS.get(domain, 0)
  spec, rng = envs[0].action_spec(), np.random.default_rng(0)
  actions = BoxActions(spec.minimum, spec.maximum)
  for env in envs:
    env.reset()
    env.physics.render(size, size, camera_id=camera_id)  # makes the context
  start = time.perf_counter()
  for _ in range(steps):
    for env in envs:
      action = actions(random_actions(actions.spec, rng, 1)[0], config.task)
      for _ in range(config.action_repeat):
        env.step(action)
      env.physics.render(size, size, camera_id=camera_id)
  rate = num_envs * steps / (time.perf_counter() - start)
  for env in envs:
    env.close()
  return rate


def _differences(config: EnvConfig) -> dict[str, float]:
  """Share of pixels that differ from the published ones, and the mean error of a value in 0 … 255, over 20 steps."""
  envs = [make(replace(config, rendering=rendering), seed=0) for rendering in ("published", config.rendering)]
  rng = np.random.default_rng(0)
  for env in envs:
    env.reset()
  shares, errors = [], []
  for _ in range(20):
    action = random_actions(envs[0].spec.action, rng, 1)[0]
    published, drawn = (env.step(action).observation["image"].astype(int) for env in envs)
    shares.append((published != drawn).any(-1).mean())
    errors.append(abs(published - drawn).mean())
  for env in envs:
    env.close()
  return {"pixels_differ": float(np.mean(shares)), "mean_error": float(np.mean(errors))}


def _vectors(config: EnvConfig) -> tuple[str, ...]:
  """The names of the task's own observations."""
  from dm_control import suite

  return tuple(suite.load(*_names(config)).observation_spec())


def _check_costs(config: EnvConfig, steps: int) -> dict[str, float]:
  """What checking an environment's answers takes: of a step's time, and in microseconds."""
  env = make(config, seed=0, checked=False)
  checked, rng = Checked(env), np.random.default_rng(0)
  kinds, seconds = (env, checked), ([], [])
  step = checked.reset(0)
  for index in range(2 * PAIRS * steps):
    action, kind = random_actions(env.spec.action, rng, 1)[0], index % 2
    began = time.perf_counter()
    step = kinds[kind].step(action)
    seconds[kind].append(time.perf_counter() - began)
    if step.is_last:
      checked.reset(0)
  plain, with_check = np.median(seconds, 1)
  step, alone = checked.reset(0), []
  for _ in range(PAIRS):
    began = time.perf_counter()
    for _ in range(CALLS):
      checked.passes(step)
    alone.append((time.perf_counter() - began) / CALLS)
  env.close()
  return {
    "check_share": float(with_check / plain) - 1,
    "check_us": 1e6 * float(np.median(alone)),
    "step_us": 1e6 * float(plain),
  }


def _names(config: EnvConfig) -> tuple[str, str]:
  """dm_control's domain and task."""
  from dm_control import suite

  name = config.task.removeprefix("dmc/")
  name = ALIASES.get(name, name)
  return next(pair for pair in suite.ALL_TASKS if "_".join(pair) == name)


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
    is_last = env.step(random_actions(env.spec.action, rng, 1)[0]).is_last
    seconds.append(time.perf_counter() - start)
  env.close()
  return float(np.median(seconds))


def rows_of_suite(
  suite: str, names: Sequence[str], envs: Sequence[int], action_repeat: int, image_size: int
) -> list[Row]:
  """Tasks of a suite over numbers of environments, each followed by dmc/'s of the same name, without and with workers.

  Raises:
    ValueError: there is no such task.
  """
  rows = []
  for name in names:
    together = EnvConfig(f"{suite}/{name}", action_repeat, image_size)
    beside = replace(together, task=f"dmc/{name}", rendering="fast")
    check_task(together.task)
    check_task(beside.task)
    rows += [_brief(together, num_envs, 0) for num_envs in envs]
    rows += [_brief(beside, num_envs, workers) for workers in (0, CORES) for num_envs in BESIDE]
  return rows


def _brief(config: EnvConfig, num_envs: int, workers: int) -> Row:
  return Row(config, num_envs, workers, max(2, FRAMES // num_envs), parts=False)


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--suite", choices=["mjx"], help="measure this suite beside dmc/")
  parser.add_argument("--task", nargs="+", help="one row for each; with --suite, names without their suite")
  parser.add_argument("--envs", type=int, nargs="+", help="one row for each")
  parser.add_argument("--workers", type=int, nargs="+", help="one row for each")
  parser.add_argument("--steps", type=int, help="agent steps of every environment per stretch")
  parser.add_argument(
    "--rendering", nargs="+", help="one row for each; all where the task draws at the quality that is asked for"
  )
  parser.add_argument("--action-repeat", type=int, default=1)
  parser.add_argument("--image-size", type=int, default=64)
  options = parser.parse_args(arguments)
  if options.suite:
    for name in ("workers", "steps", "rendering"):
      if getattr(options, name) is not None:
        parser.error(f"--{name} is chosen by --suite: leave it out, or give --task without --suite")
    names, envs = options.task or SUITE_TASKS, options.envs or SUITE_ENVS
    rows = rows_of_suite(options.suite, names, envs, options.action_repeat, options.image_size)
  else:
    rows = [
      Row(
        EnvConfig(task, options.action_repeat, options.image_size, rendering=rendering),
        num_envs,
        workers,
        options.steps or 50,
      )
      for task in options.task or ["dmc/cartpole_balance"]
      for rendering in options.rendering or (QUALITIES if registry.find(task).draws else ["published"])
      for num_envs in options.envs or [16]
      for workers in options.workers or [CORES]
    ]
  report([measure_apart(row) for row in rows])


if __name__ == "__main__":
  main()
