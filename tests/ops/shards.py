"""What a program compiled for eight devices must not do with a batch that is sharded over them."""

import os
import re
import subprocess
import sys
from typing import Any

from tests.conftest import ROOT, cpu_devices


def assert_kept(compiled: Any) -> None:
  """The devices' parts are added once, and nothing of a batch is moved between them."""
  text = compiled.as_text()
  assert "all-reduce" in text, "nothing was sharded"
  moved = re.findall(r"(?:all-gather|all-to-all|collective-permute)[^\n]*", text)
  assert not moved, moved
  assert_added_once(text)


def assert_added_once(program: str) -> None:
  """No gradient of a compiled program, given as text, is added across devices in a loop."""
  loops = [part for part in program.split("\n\n") if "all-reduce(" in part and "ENTRY" not in part]
  assert not loops, "a gradient is added across devices in every step of a loop: " + loops[0]


def run_on_eight_devices(script: str) -> None:
  """Runs a program in a process of its own, which has eight devices of its CPU."""
  environment = {**os.environ, **cpu_devices(8)}
  command = [sys.executable, "-c", script]
  done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr[-2000:]
