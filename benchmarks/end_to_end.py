"""Measures how fast a run goes: environments, replay, policy and updates together.

    python -m benchmarks.end_to_end --preset dreamer-v3 --size 1m --task dmc/walker_walk --envs 16 --seconds 60

First the replay is filled and the update compiled, from a start without cached programs unless JAX_COMPILATION_CACHE_DIR
names some: two runs with the same folder give a cold start and a warm one. Then, in turn and for `--seconds` each in all, the
agent acts without updates, updates without acting, and acts with the updates that the preset's schedule asks for; figures are
medians of the turns. `lost` is the share of the last pace that is missing from what the two alone would add up to on the same
cores. Env steps are simulator steps, the action repeat included, summed over the environments.
"""

if __name__ == "__main__":
  from dreamerax.envs.suites import rendering
  from dreamerax.process_memory import collect_garbage_rarely, restart_with_huge_pages

  # As `dreamerax train` does, before all that takes long to import.
  restart_with_huge_pages()
  collect_garbage_rarely()
  rendering.choose_soon()

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import jax
import psutil

from benchmarks.common import machine, report, with_batch
from dreamerax import envs, presets
from dreamerax.agent import Agent
from dreamerax.replay import Replay
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import env_spec
from dreamerax.runtime.collect.collector import Collector
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.mesh import divide_cpu, local_mesh
from dreamerax.runtime.devices.sharding import abstract_state, init_state
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.learn.update import Programs
from dreamerax.runtime.schedule import TrainRatioConfig

_TURNS = 4


class Pace(NamedTuple):
  """What a stretch of a run gave."""

  seconds: float
  agent_steps: int
  updates: int


class Turn(NamedTuple):
  """Acting alone, updating alone, and both."""

  acting: Pace
  updating: Pace
  training: Pace

  @property
  def lost(self) -> float:
    """Share of the pace that training lacks beside acting and updating one after the other."""
    acting = self.acting.seconds / self.acting.agent_steps * self.training.agent_steps
    updating = self.updating.seconds / self.updating.updates * self.training.updates
    return 1 - (acting + updating) / self.training.seconds


class Worker:
  """A run without evaluations, checkpoints and metrics, put together in the order of `train_run`."""

  def __init__(self, config: RunConfig, stack: ExitStack):
    """stack: closes what the run has opened."""
    self.config = config
    self.counters = Counters()
    agent, mesh = Agent(config.agent, env_spec(config)), local_mesh()
    self._replay = Replay(
      agent.spec, agent.latent_spec, config=config.replay, streams=config.num_envs, seed=config.seed
    )
    programs = Programs(agent, abstract_state(agent, mesh), self._replay.batch_spec, mesh)
    self.programs = stack.enter_context(closing(programs))
    batch = envs.make_batch(config.env, config.num_envs, config.seed, config.workers, spec=agent.spec)
    stack.enter_context(closing(batch))
    init, explore, train = jax.random.split(jax.random.key(config.seed), 3)
    learner = Learner(self.programs, self._replay, state=init_state(agent, mesh, init), updates=0, key=train)
    self.learner = stack.enter_context(closing(learner))
    self._collector = Collector(AgentPolicy(agent, explore=True, key=explore), batch, self._replay)
    self._schedule = config.schedule.build(config.replay.batch_size, config.replay.batch_length)
    self.prefill_seconds = 0.0

  def first_update(self) -> None:
    """Fills the replay, waits for the compiler, and makes the update that is due first."""
    start = time.perf_counter()
    while self._replay.steps < self.config.loop.prefill_steps or not self._replay.sequences:
      self._step(0)
    self.prefill_seconds = time.perf_counter() - start
    self.programs.wait_compiled(lambda: None)
    self.learner.run(self._schedule.due(self.counters))
    self.learner.flush()

  def act(self, seconds: float) -> Pace:
    """Acts for `seconds`, without updates; none is owed for it later."""
    pace = self._pace(seconds, lambda: 0)
    self._schedule.waive(self.counters)
    return pace

  def update(self, seconds: float) -> Pace:
    """Updates for `seconds` while the environments wait."""
    before, start = self.learner.updates, time.perf_counter()
    while time.perf_counter() - start < seconds:
      self.learner.run(1)
    self.learner.flush()
    pace = Pace(time.perf_counter() - start, 0, self.learner.updates - before)
    self.counters = self.counters._replace(updates=self.learner.updates)
    self._schedule.waive(self.counters)
    return pace

  def train(self, seconds: float) -> Pace:
    """Acts and updates for `seconds`, and until one update is done."""
    return self._pace(seconds, lambda: self._schedule.due(self.counters), updates=1)

  def _pace(self, seconds: float, due: Callable[[], int], updates: int = 0) -> Pace:
    self._step(0)  # whatever the stretch before has left to do
    before, start = self.counters, time.perf_counter()
    while time.perf_counter() - start < seconds or self.counters.updates < before.updates + updates:
      self._step(due())
    self.learner.flush()
    now = self.counters
    return Pace(time.perf_counter() - start, now.agent_steps - before.agent_steps, now.updates - before.updates)

  def _step(self, updates: int) -> None:
    self._collector.send(self.learner.acting_params)
    self.learner.run(updates)
    steps, _ = self._collector.receive()
    agent_steps = self.counters.agent_steps + steps
    self.counters = Counters(agent_steps * self.config.env.action_repeat, agent_steps, self.learner.updates)


def measure(preset: str, config: RunConfig, seconds: float, began: float) -> dict[str, Any]:
  """One row. began: time.time() from which the start is counted."""
  with ExitStack() as stack:
    worker = Worker(config, stack)
    worker.first_update()
    first_update = time.time() - began
    each = seconds / _TURNS
    turns = [Turn(worker.act(each), worker.update(each), worker.train(each)) for _ in range(_TURNS)]
  repeat = config.env.action_repeat
  memory = jax.local_devices()[0].memory_stats() or {}
  return {
    "benchmark": "end_to_end",
    "preset": preset,
    "size": config.size,
    "task": config.env.task,
    "rendering": config.env.rendering,
    "envs": config.num_envs,
    "action_repeat": repeat,
    "batch": config.replay.batch_size,
    "length": config.replay.batch_length,
    "schedule": asdict(config.schedule),
    "acting_env_steps_per_second": statistics.median(
      repeat * turn.acting.agent_steps / turn.acting.seconds for turn in turns
    ),
    "updates_alone_per_second": statistics.median(turn.updating.updates / turn.updating.seconds for turn in turns),
    "training_env_steps_per_second": statistics.median(
      repeat * turn.training.agent_steps / turn.training.seconds for turn in turns
    ),
    "updates_per_second": statistics.median(turn.training.updates / turn.training.seconds for turn in turns),
    "lost": statistics.median(turn.lost for turn in turns),
    "least_lost": min(turn.lost for turn in turns),
    "most_lost": max(turn.lost for turn in turns),
    "seconds_to_first_update": first_update,
    "of_which_prefill": worker.prefill_seconds,
    "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    "peak_device_memory_gb": memory["peak_bytes_in_use"] / 1e9 if "peak_bytes_in_use" in memory else None,
    "machine": machine(),
  }


def main(arguments: Sequence[str] | None = None, began: float | None = None) -> None:
  began = time.time() if began is None else began
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--preset", default="quick")
  parser.add_argument("--size", help="the preset's default by default, as everything below is the preset's own")
  parser.add_argument("--task")
  parser.add_argument("--envs", type=int, help="environments in parallel")
  parser.add_argument("--batch", type=int, help="sequences per batch")
  parser.add_argument("--length", type=int, help="steps per sequence")
  parser.add_argument("--ratio", type=float, help="a train ratio in place of the preset's schedule")
  parser.add_argument(
    "--seconds", type=float, default=60, help="of acting, of updating, and of both; the start comes on top"
  )
  options = parser.parse_args(arguments)
  config = presets.build(options.preset, options.size)
  config = replace(
    config,
    num_envs=options.envs or config.num_envs,
    env=replace(config.env, task=options.task or config.env.task),
    replay=with_batch(config.replay, options.batch, options.length),
    schedule=config.schedule if options.ratio is None else TrainRatioConfig(options.ratio),
  )
  divide_cpu(config.mesh, config.replay.batch_size)
  report([measure(options.preset, config, options.seconds, began)])


if __name__ == "__main__":
  main(began=psutil.Process().create_time())
