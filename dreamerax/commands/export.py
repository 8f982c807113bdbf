"""`dreamerax export`: a trained policy as one file that jax alone can run."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dreamerax import api, files
from dreamerax.commands.trusting import TrustOption
from dreamerax.deploy import policy

_CALLS = 100  # that latency is measured over


@dataclass(frozen=True)
class Arguments(TrustOption):
  """Writes the policy of a run's newest checkpoint as a program with its parameters, and measures how fast it decides."""

  run_dir: Path
  """Run directory, as `dreamerax train` made it."""
  out: Path = Path("policy.bin")
  """File to write."""
  batch: int | None = None
  """Environments in every call; by default any number, which some agents have no program for."""
  platforms: tuple[Literal["cpu", "cuda", "rocm", "tpu"], ...] = ("cpu", "cuda")
  """Where it is to run."""
  compute_dtype: Literal["float32", "bfloat16"] = "float32"
  """What it computes in."""
  explore: bool = False
  """Sample actions as in training, in place of the mode."""
  loader: Path | None = None
  """Also write the loader: one Python file that imports jax and numpy alone."""

  def __post_init__(self):
    if self.batch is not None and self.batch < 1:
      raise ValueError(f"batch={self.batch} must be at least 1; leave it out for any number")
    if not self.platforms:
      raise ValueError("platforms is empty: name at least one, such as cpu")


def run(arguments: Arguments) -> int:
  """Exports, loads what was written, prints its latency; returns the exit status."""
  logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns that a checkpoint which is only read is only read
  api.export_policy(
    arguments.run_dir,
    arguments.out,
    batch=arguments.batch,
    platforms=arguments.platforms,
    explore=arguments.explore,
    compute_dtype=arguments.compute_dtype,
    trust=arguments.trusted,
  )
  batch = "any batch size" if arguments.batch is None else f"batches of {arguments.batch}"
  size = arguments.out.stat().st_size / 2**20
  print(f"{arguments.out}: {size:.1f} MiB, {batch}, for {', '.join(arguments.platforms)}")
  if arguments.loader is not None:
    files.write_whole(arguments.loader, Path(policy.__file__).read_bytes())
    print(f"{arguments.loader}: loads it where jax and flatbuffers are installed")
  try:
    loaded = policy.load(arguments.out)
  except policy.WrongPlatform as error:
    print(f"latency: not measured ({error})")
    return 0
  for count in (1, 16) if arguments.batch is None else (arguments.batch,):
    seconds = _latency(loaded, count)
    print(
      f"latency at batch {count}: {1e3 * np.median(seconds):.2f} ms "
      f"(median of {_CALLS} calls; 95 % within {1e3 * np.percentile(seconds, 95):.2f} ms)"
    )
  return 0


def _latency(loaded: policy.LoadedPolicy, batch: int) -> list[float]:
  """Seconds of each call, with what goes to the device and back."""
  shown = loaded.header["spec"]["observation"]
  observation = {name: np.zeros((batch, *array["shape"]), array["dtype"]) for name, array in shown.items()}
  _, state = loaded(observation)
  _, state = loaded(observation, state)  # its state is on the device now
  seconds = []
  for _ in range(_CALLS):
    began = time.perf_counter()
    _, state = loaded(observation, state)
    seconds.append(time.perf_counter() - began)
  return seconds
