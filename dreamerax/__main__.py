"""`python -m dreamerax`."""

import sys

from dreamerax.cli import main

if __name__ == "__main__":
  sys.exit(main())
