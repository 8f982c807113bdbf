"""`dreamerax`, and `python -m dreamerax`: sets the process up for what it will do, and hands over to the command line."""

import os
import sys


def _leave_out_current_directory() -> None:
  """`python -m` looks for modules in the current directory first, which may be a run directory from elsewhere.

  A module there that the person names is found all the same, by own_code.py.
  """
  package = os.path.dirname(os.path.abspath(__file__))
  if sys.path[:1] == [os.getcwd()] != [os.path.dirname(package)]:
    del sys.path[0]


if __name__ == "__main__" and not sys.flags.safe_path:
  _leave_out_current_directory()  # before anything is imported from there

import signal  # noqa: E402
import threading  # noqa: E402

from dreamerax import leftover_threads  # noqa: E402
from dreamerax.process_memory import collect_garbage_rarely, restart_with_huge_pages  # noqa: E402

_COMPILES = "compile_"  # begins the name of the compiler's thread, see runtime/learn/update.py
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
