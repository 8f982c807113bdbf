"""How the C library hands out the large buffers that an update works in."""

import os
import sys

_VARIABLE = "GLIBC_TUNABLES"
_TUNABLES = {
  "glibc.malloc.hugetlb": 1,  # transparent huge pages
  "glibc.malloc.mmap_threshold": 2**40,  # bytes: no buffer is mapped for itself, and unmapped when it is freed
  "glibc.malloc.trim_threshold": 2**40,  # bytes: what was freed stays for the next update
  "glibc.malloc.arena_max": 1,  # the arenas of threads hold only small pieces, and map large ones again
}


def restart_with_kept_memory() -> None:
  """Starts this program over with a C library that keeps large buffers for the next update, in huge pages, unless it does.

  XLA takes the working memory of each execution on a CPU from malloc and gives it back. By default every update then touches
  fresh pages, which the kernel has to find and clear: 420,000 page faults in an update of DreamerV3's smallest size, 5,500
  with huge pages alone, none with these settings. The process so keeps the most memory that it ever used at once.

  The C library reads settings when a program starts and at no other time; those it does not know it ignores. What the
  environment already says about one of them stays.
  """
  asked = os.environ.get(_VARIABLE, "")
  missing = [f"{name}={value}" for name, value in _TUNABLES.items() if f"{name}=" not in asked]
  if not missing or not sys.orig_argv:
    return
  os.environ[_VARIABLE] = ":".join(filter(None, [asked, *missing]))
  sys.stdout.flush()
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
