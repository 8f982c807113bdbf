"""Does a run survive? Trains while processes are killed and files damaged at random, and says what was lost.

    python -m benchmarks.soak --minutes 30

A real `dreamerax train` runs with a small agent. For two thirds of the time a fault strikes every half minute or so, and the
run is started again where that ended it; for the last third it is left alone, and its memory is watched. The exit status is
1 if the run did not come back from a fault.
"""

import argparse
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from benchmarks.common import machine, report
from dreamerax.runtime.checkpoint.checkpoints import FOLDER
from dreamerax.runtime.telemetry.metrics import read_metrics

_SETTINGS = """--env-steps 1000000000 --num-envs 4 --prefill-steps 400 --rendering fast --workers.count 2 --workers.timeout 5
  --replay.capacity 4000 --checkpoint-minutes 0.1 --log-every 1 --eval-episodes 0 --video-every 0"""
_PATIENCE = 300.0  # seconds in which a run has to come back
_CALM = (10.0, 40.0)  # seconds between faults


class Outcome(NamedTuple):
  """What one fault cost."""

  fault: str
  env_steps_lost: int
  seconds: float  # until training lines were written again


class Trainer:
  """The run, as somebody who looks at it from outside sees it."""

  def __init__(self, logdir: Path, options: Sequence[str]):
    self.logdir = logdir
    self._command = [sys.executable, "-m", "dreamerax", "train", *options, *_SETTINGS.split(), "--logdir", str(logdir)]
    self._said = logdir.parent / "output.txt"
    self._output: IO[bytes] = self._said.open("ab")
    self.start()

  def start(self) -> None:
    """Begins the run, or goes on with it."""
    self._began = self._said.stat().st_size
    self._before = self.training_line()
    # Warnings tell what was skipped; without a terminal they are the only ones to read.
    self.process = psutil.Popen(self._command, stdout=self._output, stderr=subprocess.STDOUT)

  def env_steps(self) -> int:
    """Of the newest line of metrics."""
    path = self.logdir / "metrics.jsonl"
    rows = read_metrics(path) if path.exists() else []
    return max((row["env_steps"] for row in rows), default=0)

  def training_line(self) -> dict[str, Any]:
    """The newest line of training metrics; {} if there is none."""
    path = self.logdir / "metrics.jsonl"
    rows = read_metrics(path) if path.exists() else []
    return next((row for row in reversed(rows) if "train/loss/total" in row), {})

  def resumed_at(self) -> int:
    """Env steps at which this process went on; 0 where it began anew."""
    found = re.search(r"continuing at ([\d,]+) env steps", self.said())
    return int(found[1].replace(",", "")) if found else 0

  def said(self) -> str:
    """What this process has written."""
    return self._said.read_bytes()[self._began :].decode(errors="replace")

  def workers(self) -> list[psutil.Process]:
    return self.process.children(recursive=True)

  def memory(self) -> int:
    """Resident bytes of the trainer and its workers."""
    return sum(process.memory_info().rss for process in (self.process, *self.workers()))

  def end(self, number: int = signal.SIGKILL) -> None:
    """Sends a signal that ends the run, and waits."""
    self.process.send_signal(number)
    self.process.wait(_PATIENCE)

  def close(self) -> None:
    """Ends the run for good."""
    if self.process.poll() is None:
      self.end()
    self._output.close()

  def await_training(self, faults: int = 0) -> None:
    """Until this process has written a line of training, and so many faults of environments.

    Raises:
      RuntimeError: the process ended, or nothing came in time; holds what it said.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
      if self.process.poll() is not None:
        raise RuntimeError(f"the run ended with status {self.process.returncode}:\n{self.said()[-3000:]}")
      line = self.training_line()
      # Lines after the checkpoint are cut off some time after the start; until then the newest is that of before.
      new = line != self._before and line.get("env_steps", 0) > self.resumed_at()
      if new and line["envs/faults"] >= faults:
        return
      time.sleep(0.2)
    raise RuntimeError(f"nothing was trained within {_PATIENCE:.0f} seconds:\n{self.said()[-3000:]}")


def kill(trainer: Trainer, rng: random.Random) -> None:
  trainer.end()


def ask_to_stop(trainer: Trainer, rng: random.Random) -> None:
  trainer.end(signal.SIGTERM)


def kill_a_worker(trainer: Trainer, rng: random.Random) -> None:
  rng.choice(trainer.workers()).kill()


def hang_a_worker(trainer: Trainer, rng: random.Random) -> None:
  rng.choice(trainer.workers()).suspend()


def damage_the_newest_checkpoint(trainer: Trainer, rng: random.Random) -> None:
  trainer.end()
  newest = max((path for path in (trainer.logdir / FOLDER).iterdir() if path.name.isdigit()), key=lambda x: int(x.name))
  _flip_a_byte(rng.choice(sorted(path for path in newest.rglob("*") if path.is_file() and path.stat().st_size)), rng)


def tear_the_replay(trainer: Trainer, rng: random.Random) -> None:
  trainer.end()
  newest = max(path for path in (trainer.logdir / "replay").iterdir() if path.is_file())
  os.truncate(newest, max(newest.stat().st_size - rng.randrange(1, 100_000), 0))


def damage_the_replay(trainer: Trainer, rng: random.Random) -> None:
  trainer.end()
  _flip_a_byte(rng.choice(sorted(path for path in (trainer.logdir / "replay").iterdir() if path.is_file())), rng)


FAULTS: Mapping[str, Callable[[Trainer, random.Random], None]] = {
  "trainer killed": kill,
  "trainer asked to stop": ask_to_stop,
  "worker killed": kill_a_worker,
  "worker hung": hang_a_worker,
  "newest checkpoint damaged": damage_the_newest_checkpoint,
  "replay torn": tear_the_replay,
  "replay damaged": damage_the_replay,
}


def strike(trainer: Trainer, name: str, rng: random.Random) -> Outcome:
  """Lets one fault happen, and waits until the run trains again."""
  faults = trainer.training_line()["envs/faults"]
  FAULTS[name](trainer, rng)
  before, began = trainer.env_steps(), time.monotonic()
  if trainer.process.poll() is None:
    trainer.await_training(faults + 1)
    return Outcome(name, 0, time.monotonic() - began)
  trainer.start()
  trainer.await_training()
  return Outcome(name, max(before - trainer.resumed_at(), 0), time.monotonic() - began)


def watch_memory(trainer: Trainer, seconds: float) -> dict[str, float]:
  """Resident memory while nothing happens, after a fifth of the time in which it settles."""
  samples, end = [], time.monotonic() + seconds
  while time.monotonic() < end:
    samples.append(trainer.memory() / 2**20)
    time.sleep(min(2.0, seconds / 20))
  settled = samples[len(samples) // 5 :]
  part = max(len(settled) // 4, 1)
  first, last = statistics.median(settled[:part]), statistics.median(settled[-part:])
  return {"watched_seconds": seconds, "memory_mib": round(last, 1), "memory_growth_mib": round(last - first, 1)}


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--minutes", type=float, default=30)
  parser.add_argument("--preset", default="quick")
  parser.add_argument("--seed", type=int, default=0, help="of what happens when")
  options, further = parser.parse_known_args(arguments)
  rng, began, coming = random.Random(options.seed), time.monotonic(), []
  with tempfile.TemporaryDirectory(prefix="dreamerax-soak-") as folder:
    (Path(folder) / "run").mkdir()
    trainer = Trainer(Path(folder) / "run", [options.preset, "--seed", str(options.seed), *further])
    outcomes: list[Outcome] = []
    try:
      trainer.await_training()
      while time.monotonic() - began < options.minutes * 60 * 2 / 3:
        coming = coming or rng.sample(list(FAULTS), len(FAULTS))  # each once before any comes again
        time.sleep(rng.uniform(*_CALM) * min(options.minutes / 5, 1))
        outcomes.append(strike(trainer, coming.pop(), rng))
        print(f"{outcomes[-1].fault}: {outcomes[-1].env_steps_lost} env steps lost", file=sys.stderr, flush=True)
      memory = watch_memory(trainer, max(began + options.minutes * 60 - time.monotonic(), 5))
      steps = trainer.env_steps()
    except RuntimeError as error:
      print(error, file=sys.stderr)
      return 1
    finally:
      trainer.close()
  report([*_rows(outcomes), {"benchmark": "soak", "env_steps": steps, **memory, "machine": machine()}])
  return 0


def _rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
  rows = []
  for name in FAULTS:
    mine = [outcome for outcome in outcomes if outcome.fault == name]
    if mine:
      lost, seconds = [outcome.env_steps_lost for outcome in mine], [outcome.seconds for outcome in mine]
      rows.append(
        {
          "benchmark": "soak",
          "fault": name,
          "survived": len(mine),
          "env_steps_lost": statistics.median(lost),
          "most_lost": max(lost),
          "seconds": round(statistics.median(seconds), 1),
        }
      )
  return rows


def _flip_a_byte(path: Path, rng: random.Random) -> None:
  data = bytearray(path.read_bytes())
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  path.write_bytes(data)


if __name__ == "__main__":
  sys.exit(main())
