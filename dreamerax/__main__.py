"""`dreamerax`, and `python -m dreamerax`: sets the process up for what it will do, and hands over to the command line."""

import os
import sys

from dreamerax.runtime.memory import collect_garbage_rarely, restart_with_huge_pages

_COMPUTE = ("train", "train-world-model", "eval")


def main() -> int:
  """Runs the command that sys.argv names; returns the exit status."""
  # XLA's errors reach Python as exceptions. What it logs besides is an alarm about every compilation of two minutes.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  if sys.argv[1:2] and sys.argv[1] in _COMPUTE:
    restart_with_huge_pages()  # before anything is imported that would have to be imported again
    collect_garbage_rarely()
  from dreamerax import cli

  return cli.main()


if __name__ == "__main__":
  sys.exit(main())
