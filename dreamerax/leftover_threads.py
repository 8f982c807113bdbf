"""Ends this process although threads that somebody's code has begun, and not ended, would keep it alive."""

import os
import sys
import threading
import time


def end_in(seconds: float, status: int) -> None:
  """Call it last, when all is saved and closed: where Python then waits for threads, the process ends with `status`."""
  threading.Thread(target=_end, args=(seconds, status), daemon=True).start()


def _end(seconds: float, status: int) -> None:
  # Python ends this thread, too, unless it waits for another one.
  time.sleep(seconds)
  left = [thread.name for thread in threading.enumerate() if thread.is_alive() and not thread.daemon]
  left = [name for name in left if name != threading.main_thread().name]
  if not left:
    return
  print(
    f"dreamerax: leaves although a thread still runs that an environment has begun: {', '.join(left)}", file=sys.stderr
  )
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)
