"""Runs what must not outlive whoever started it: `python -m dreamerax.sweeps.leash PID ARGUMENT...`, arguments of Python.

A trial's own process is long, and its owner (a sweep, or an actor on a Ray node) may be killed at any moment. What it left
behind would go on training beside the next attempt, or keep that one out of the run directory.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; holds across exec


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
