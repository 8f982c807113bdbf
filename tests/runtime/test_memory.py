"""A command starts over once with the C library's settings, and leaves alone what the environment says."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from dreamerax.runtime.memory import restart_with_kept_memory
print("started")
restart_with_kept_memory()
print(os.environ["GLIBC_TUNABLES"])
"""


@pytest.mark.parametrize("asked", ["", "glibc.malloc.hugetlb=0"])
def test_a_program_starts_over_once_and_keeps_what_the_environment_says(asked):
  environment = os.environ | {"GLIBC_TUNABLES": asked}
  done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60)
  assert done.returncode == 0, done.stderr
  *starts, tunables = done.stdout.split()
  assert starts == ["started", "started"]
  settings = dict(setting.split("=") for setting in tunables.split(":"))
  assert settings["glibc.malloc.hugetlb"] == ("0" if asked else "1")
  assert int(settings["glibc.malloc.mmap_threshold"]) > 2**33 and settings["glibc.malloc.arena_max"] == "1"


KEPT = """
import resource, threading
import numpy as np
faults = []
def touch():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  np.ones(50_000_000, np.uint8)
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
for _ in range(3):
  thread = threading.Thread(target=touch)
  thread.start()
  thread.join()
assert faults[-1] < 100, faults  # of 12,000 pages
"""


def test_a_large_buffer_is_kept_for_the_next_thread_that_asks():
  program = "from dreamerax.runtime.memory import restart_with_kept_memory; restart_with_kept_memory()" + KEPT
  environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}  # small pages, which are easy to count
  done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
  assert done.returncode == 0, done.stderr
