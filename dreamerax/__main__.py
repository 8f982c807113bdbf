"""`dreamerax`, and `python -m dreamerax`: sets the process up for what it will do, and hands over to the command line."""

import os
import signal
import sys
import threading

from dreamerax import leftover_threads
from dreamerax.runtime.memory import collect_garbage_rarely, restart_with_huge_pages

_COMPILES = "compile_"  # begins the name of the compiler's thread, see runtime/programs.py
_LEAVE_SECONDS = 5.0  # for threads that an environment in this process has left behind
_COMPUTE = ("train", "train-world-model", "eval")


def main() -> int:
  """Runs the command that sys.argv names; returns the exit status."""
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # leaves in the middle of an import, too
  # XLA's errors reach Python as exceptions. What it logs besides is an alarm about every compilation of two minutes.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  if sys.argv[1:2] and sys.argv[1] in _COMPUTE:
    restart_with_huge_pages()  # before anything is imported that would have to be imported again
    collect_garbage_rarely()
  from dreamerax import cli

  if sys.argv[1:2] and sys.argv[1] not in _COMPUTE and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # those commands have something to put in order
  try:
    status = cli.main()
  except SystemExit as error:  # --help, wrong options, SIGTERM
    status = error.code
  except BaseException:
    leftover_threads.end_in(_LEAVE_SECONDS, 1)
    raise
  code = status if isinstance(status, int) else int(status is not None)
  if any(thread.name.startswith(_COMPILES) for thread in threading.enumerate()):
    sys.stderr.flush()
    os._exit(code)  # else Python would wait for the compiler
  leftover_threads.end_in(_LEAVE_SECONDS, code)
  return status  # type: ignore[return-value]


if __name__ == "__main__":
  sys.exit(main())
