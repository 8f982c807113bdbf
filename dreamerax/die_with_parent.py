"""Child processes that the kernel ends with the process that started them, even where that one is killed.

`start` runs this file as `python die_with_parent.py PID ARGUMENT...`, which imports nothing of the package. A worker, a trial
or a probe that outlived its owner would hang, train beside the next attempt, or keep that one out of the run directory.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; holds across exec
_ALONE = ("-I", "-S")  # without the folder of this file among those that modules are found in, and quickly


class _Starter:
  """A thread that lives as long as this process: to the kernel, a child's parent is the thread that started it."""

  def __init__(self):
    self.begin()
    os.register_at_fork(after_in_child=self.begin)  # which has no threads but the one that forked

  def begin(self) -> None:
    self._thread = ThreadPoolExecutor(1, "starts processes")

  def start(self, command: Sequence[str], options: dict[str, Any]) -> subprocess.Popen:
    return self._thread.submit(subprocess.Popen, command, **options).result()


_starter = _Starter()


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen:
  """Starts `python ARGUMENT...`, which is killed when this process ends, however it does.

  Args:
    options: of `subprocess.Popen`.

  Raises:
    OSError: it cannot be started.
  """
  return _starter.start([sys.executable, *_ALONE, __file__, str(os.getpid()), *arguments], options)


def main() -> None:
  """Becomes `python ARGUMENT...`, which the kernel kills when the process PID, its parent, ends."""
  owner, arguments = int(sys.argv[1]), sys.argv[2:]
  if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
    raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
  if os.getppid() != owner:  # it ended before that
    sys.exit("its owner is gone")
  signal.pthread_sigmask(signal.SIG_SETMASK, ())  # Ray's processes block SIGINT, and it would be inherited
  os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
  main()
