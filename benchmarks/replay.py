"""Measures how fast replay stores and samples, beside a plain copy of the same bytes, and what its log on disk costs.

    python -m benchmarks.replay [--batch 16] [--length 64] [--envs 16] [--steps 20000] [--repeats 50]

Synthetic steps: 64x64x3 pixels, six actions, and latents as a small model stores them. No environment runs. The log lies in
the folder for temporary files (TMPDIR), takes about three times the ring's bytes there, and is loaded from the page cache.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine, report, timed
from dreamerax.replay import Replay, ReplayConfig
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition

SPEC = EnvSpec({"pixels": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(6))
LATENTS = {"deter": ArraySpec((512,)), "stoch": ArraySpec((32,), "int32")}


def rows(envs: int, rng: np.random.Generator) -> tuple[Transition, dict[str, np.ndarray]]:
  """One step of every environment: arrays [E, ...]."""
  flags = np.zeros((3, envs), bool)
  transition = Transition(
    observation={"pixels": rng.integers(256, size=(envs, 64, 64, 3), dtype=np.uint8)},
    action=rng.uniform(-1, 1, (envs, SPEC.action.size)).astype(np.float32),
    reward=rng.uniform(size=envs).astype(np.float32),
    is_first=flags[0],
    is_last=flags[1],
    is_terminal=flags[2],
  )
  return transition, {key: np.ones((envs, *spec.shape), spec.dtype) for key, spec in LATENTS.items()}


def fill(replay: Replay, transition: Transition, latents: dict[str, np.ndarray], adds: int) -> float:
  """Seconds that it takes to add a step of every environment `adds` times."""
  start = time.perf_counter()
  for _ in range(adds):
    replay.add(transition, latents)
  return time.perf_counter() - start


def measure_log(config: ReplayConfig, envs: int) -> dict[str, float]:
  """Fills a ring that is logged once more than full, waits for the disk, and loads the log into another ring."""
  transition, latents = rows(envs, np.random.default_rng(0))
  with tempfile.TemporaryDirectory() as name:
    replay = Replay(SPEC, LATENTS, config=config, streams=envs, seed=0)
    replay.open_log(Path(name), None, lambda line: None)
    adds = replay.capacity // envs
    fill(replay, transition, latents, adds)
    seconds = fill(replay, transition, latents, adds)
    start = time.perf_counter()
    end = replay.commit_log()
    commit = time.perf_counter() - start
    replay.close_log()
    nbytes = sum(path.stat().st_size for path in Path(name).iterdir())
    replay = Replay(SPEC, LATENTS, config=config, streams=envs, seed=0)
    start = time.perf_counter()
    replay.open_log(Path(name), end, lambda line: None)
    load = time.perf_counter() - start
    replay.close_log()
  return {
    "log_inserts_per_s": adds * envs / seconds,
    "log_mb_per_s": adds * envs * replay.bytes / replay.capacity / seconds / 1e6,
    "log_commit_s": commit,
    "load_steps_per_s": nbytes * replay.capacity / replay.bytes / load,  # also of steps that later ones overwrite
    "load_mb_per_s": nbytes / load / 1e6,
  }


def measure(batch: int, length: int, envs: int, steps: int, repeats: int) -> dict[str, Any]:
  """Fills a ring of `steps` steps once more than full, then samples and refreshes batches."""
  config = ReplayConfig(capacity=steps, batch_size=batch, batch_length=length, online=False)
  replay = Replay(SPEC, LATENTS, config=config, streams=envs, seed=0)
  transition, latents = rows(envs, np.random.default_rng(0))
  adds = steps // envs
  seconds = [fill(replay, transition, latents, adds) for _ in range(2)]

  sampled, slots = replay.sample()
  arrays = [*sampled.steps.observation.values(), *sampled.steps[1:], *sampled.context.values()]
  refreshed = {key: np.ones((batch, length, *spec.shape), spec.dtype) for key, spec in LATENTS.items()}
  sample = timed(replay.sample, repeats)
  update = timed(lambda: replay.update_latents(slots, refreshed), repeats)
  source = np.ones(sum(array.nbytes for array in arrays), np.uint8)
  target = np.ones_like(source)
  copy = timed(lambda: np.copyto(target, source), repeats)
  payload = sum(
    array.nbytes // envs for array in [*transition.observation.values(), *transition[1:], *latents.values()]
  )
  return {
    "benchmark": "replay",
    "batch": batch,
    "length": length,
    "envs": envs,
    "sample_gb_per_s": source.nbytes / sample["median"] / 1e9,
    "memcpy_gb_per_s": source.nbytes / copy["median"] / 1e9,
    "share_of_memcpy": copy["median"] / sample["median"],
    "sample_ms": sample["median"] * 1e3,
    "sample_ms_min": sample["min"] * 1e3,
    "sample_ms_max": sample["max"] * 1e3,
    "update_latents_ms": update["median"] * 1e3,
    "inserts_per_s": adds * envs / seconds[1],
    "first_inserts_per_s": adds * envs / seconds[0],  # while the operating system hands out the pages
    **measure_log(config, envs),
    "bytes_per_step": replay.bytes / replay.capacity,
    "payload_per_step": payload,
    "machine": machine(),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--batch", type=int, default=16, help="sequences per batch")
  parser.add_argument("--length", type=int, default=64, help="steps per sequence")
  parser.add_argument("--envs", type=int, default=16, help="streams, each adding one step at a time")
  parser.add_argument("--steps", type=int, default=20_000, help="capacity over all streams; more than the caches hold")
  parser.add_argument("--repeats", type=int, default=50, help="timed calls")
  args = parser.parse_args()
  report([measure(args.batch, args.length, args.envs, args.steps, args.repeats)])


if __name__ == "__main__":
  main()
