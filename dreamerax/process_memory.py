"""Sets how the C library and Python manage the memory of a program that computes."""

import gc
import os
import sys

_VARIABLE = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb=1"
_RARELY = (10_000, 20, 20)


def restart_with_huge_pages() -> None:
  """Starts this program over with transparent huge pages for large allocations, unless it already has them.

  XLA takes the working memory of each execution on a CPU from malloc and gives it back, so every update touches fresh pages:
  100,000 page faults and a quarter of the processor time in the smallest preset, and 600 faults with huge pages. (To keep it
  from update to update, in one arena, is faster on one core and slower on two: docs/performance.md.) The C library reads this
  setting when a program starts and at no other time; one that does not know it ignores it.
  """
  tunables = os.environ.get(_VARIABLE, "")
  if "glibc.malloc.hugetlb" in tunables or not sys.orig_argv:
    return
  os.environ[_VARIABLE] = ":".join(filter(None, [tunables, _HUGE_PAGES]))
  sys.stdout.flush()
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def collect_garbage_rarely() -> None:
  """Lets Python look for cycles less often than by default, after 700 new objects.

  Imports and traces make hundreds of thousands of objects that stay; looking through them took a tenth of their time.
  """
  gc.set_threshold(*_RARELY)
