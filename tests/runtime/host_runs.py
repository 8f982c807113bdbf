"""Small runs over several processes on this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from dreamerax.runtime.devices import hosts
from dreamerax.runtime.errors import HostLost
from tests.conftest import ROOT, cpu_devices
from tests.runtime.toys import run

LOST = 7  # exit status of a process that was told that another is gone


def join_and_train(port: int, processes: int, process: int, logdir: str, options: dict[str, Any]) -> None:
  """Run in each process; prints what it came to."""
  hosts.join(f"127.0.0.1:{port}", processes, process)
  try:
    result = run(Path(logdir), **options)
  except HostLost as error:
    print(error, flush=True)
    hosts.leave(LOST)
  print("counters", *result.counters, result.interrupted, flush=True)


def start(processes: int, logdir: Path, *, devices: int = 2, **options: Any) -> list[subprocess.Popen]:
  """Processes that train together, with a port of their own; `communicate` with each."""
  port = free_port()
  environment = {**os.environ, **cpu_devices(devices)}
  calls = [f"r.join_and_train({port}, {processes}, {i}, {str(logdir)!r}, {options!r})" for i in range(processes)]
  programs = [f"from tests.runtime import host_runs as r; {call}" for call in calls]
  return [
    subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True)
    for program in programs
  ]


def finish(children: list[subprocess.Popen], *, status: int = 0) -> list[str]:
  """What each has printed.

  Raises:
    AssertionError: one has ended with another status.
  """
  outputs = [child.communicate(timeout=300) for child in children]
  assert {child.returncode for child in children} == {status}, outputs
  return [out for out, _ in outputs]


def free_port() -> int:
  """One of the loopback's that nobody listens to."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return free.getsockname()[1]
