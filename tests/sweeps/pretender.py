"""A program that behaves as `dreamerax train` does, as far as a sweep can tell, in a fraction of a second.

It counts to TOTAL with a checkpoint at every step, and goes on from there: `pretender.py LOGDIR TOTAL [FAULT]`. It holds the
run's lock, notes each attempt in LOGDIR/attempts, and can be made to crash once, or always, half way; to refuse; to leave
half way as after SIGTERM; to wait for SIGTERM; or to wait until it is killed.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path


def main(logdir: Path, total: int, fault: str = "") -> None:
  if fault == "refuse":
    print("a line before\ndreamerax train: num_envs=0 must be at least 1", file=sys.stderr)
    sys.exit(2)
  lock = (logdir / "lock").open("w")
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    sys.exit(2)
  with (logdir / "attempts").open("a") as attempts:
    attempts.write(f"{os.getpid()}\n")
  again = len((logdir / "attempts").read_text().split()) > 1
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
  checkpoint = logdir / "checkpoint"
  done = int(checkpoint.read_text()) if checkpoint.exists() else 0
  metrics = logdir / "metrics.jsonl"
  kept = metrics.read_text().splitlines(keepends=True)[:done] if done else []
  metrics.write_text("".join(kept))
  while done < total:
    done += 1
    with metrics.open("a") as file:
      file.write(json.dumps({"env_steps": done, "eval/return": 10.0 * done}) + "\n")
    (logdir / "new").write_text(str(done))
    (logdir / "new").rename(checkpoint)
    if fault == "always" and done >= total // 2:
      os.kill(os.getpid(), signal.SIGKILL)
    if done == total // 2:
      if fault == "once" and not again:
        os.kill(os.getpid(), signal.SIGKILL)
      if fault == "leave" and not again:
        sys.exit(0)
      while fault in ("wait", "hang") and not (fault == "wait" and again):
        time.sleep(0.02)


if __name__ == "__main__":
  main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
