"""Signals end the process of a run soon, whatever its main thread does, and wait for a save."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The main thread runs C code that no handler can interrupt, as a compiler does, for many seconds.
BUSY = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"


def left(body: str, *, empty: float = 60, stalled: float = 60) -> tuple[int, str, str]:
  """Exit status, stdout and stderr of a program that trains and signals itself; a hang fails the test.

  empty, stalled: the seconds that `StopSignals` is given; only what is to run out of them is given few.
  """
  program = (
    "import hashlib, os, signal, threading, time\nfrom dreamerax.runtime import interrupt\n"
    "def later(number):\n  threading.Timer(0.2, os.kill, (os.getpid(), number)).start()\n"
    f"with interrupt.StopSignals(run=True, empty_seconds={empty}, stalled_seconds={stalled}) as stop:\n"
    + "".join(f"  {line}\n" for line in body.splitlines())
  )
  done = subprocess.run(
    [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
  )
  return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_where_nothing_is_to_be_saved_a_signal_leaves_in_the_middle_of_a_compilation(number: signal.Signals):
  status, _, said = left(f"later({number})\n{BUSY}", empty=0.3)
  assert (status, said) == (128 + number, "\nNothing is to be saved.\n")


def test_where_nothing_is_to_be_saved_the_main_thread_puts_things_in_order_if_it_can():
  status, printed, _ = left(f"later({signal.SIGTERM})\ntry:\n  time.sleep(30)\nfinally:\n  print('in order')")
  assert (status, printed) == (128 + signal.SIGTERM, "in order\n")


def test_a_run_that_does_not_come_to_save_is_left():
  status, _, said = left(f"stop.attend(lambda: 0)\nlater({signal.SIGTERM})\n{BUSY}", stalled=0.6)
  assert status == 128 + signal.SIGTERM and "Saving" in said and "goes on from its newest checkpoint" in said


def test_progress_and_a_save_are_waited_for():
  status, printed, said = left(
    f"steps = []\nstop.attend(lambda: len(steps))\nlater({signal.SIGTERM})\n"
    "for _ in range(8):\n  time.sleep(0.3)\n  steps.append(0)\n"
    "assert stop.requested\nstop.saving()\ntime.sleep(2)\nprint('saved')",
    stalled=1.8,  # less than each of the two takes, and six times what comes between steps
  )
  assert (status, printed) == (0, "saved\n"), said


def test_handlers_are_as_before_and_no_thread_is_left():
  status, _, said = left(
    "pass\n"
    "assert stop.__exit__() is None\nassert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    "assert threading.active_count() == 1 and signal.set_wakeup_fd(-1) == -1\nos._exit(0)"
  )
  assert status == 0, said


def test_a_terminal_that_is_gone_is_told_twice_and_the_run_saves():
  """As by the kernel and by the shell; what is printed then, goes nowhere."""
  status, printed, _ = left(
    "master, slave = os.openpty()\nkept = os.dup(1)\nos.dup2(slave, 1)\nstop.__exit__()\nstop.__enter__()\n"
    "stop.attend(lambda: 0)\nos.kill(os.getpid(), signal.SIGHUP)\n"
    "while not stop.requested:\n  time.sleep(0.01)\n"
    "os.close(slave)\nos.close(master)\nos.kill(os.getpid(), signal.SIGHUP)\nprint('to nobody', flush=True)\n"
    "stop.saving()\nos.write(kept, b'saved' if stop.requested else b'')"
  )
  assert (status, printed) == (0, "saved")


def test_nohup_is_left_as_it_is():
  status, printed, said = left(
    "stop.__exit__()\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nstop.__enter__()\n"
    "os.kill(os.getpid(), signal.SIGHUP)\ntime.sleep(0.2)\nprint(stop.requested)"
  )
  assert (status, printed) == (0, "False\n"), said
