"""What a person sees of a sweep on a terminal."""

import io
from pathlib import Path

from rich.console import Console

from dreamerax.sweeps.display import SweepDisplay
from dreamerax.sweeps.manifest import Manifest, Record


def test_a_terminal_shows_a_table_with_what_runs_first(tmp_path: Path):
  printed = io.StringIO()
  done = Record((), 1000, "finished", attempts=1, env_steps=1000, eval_return=512.3, seconds=600)
  runs = Record((), 2000, "running", attempts=2, env_steps=1234)
  manifest = Manifest(tmp_path / "manifest.json", {"done": done, "runs": runs, "waits": Record((), 3000)})
  display = SweepDisplay(manifest, Console(file=printed, force_terminal=True, width=80, color_system=None))
  manifest.change("waits", state="failed", reason="killed by SIGKILL")
  display.changed("runs")  # the table tells
  display.changed("waits")
  display.close()
  text = printed.getvalue()
  assert text.count("waits: failed: killed by SIGKILL") == 1 and "runs: running" not in text
  table = text[text.rindex("trial ") :].splitlines()
  assert [row.split() for row in table[1:4]] == [
    ["runs", "running", "2", "1,234/2,000", "0"],
    ["waits", "failed", "0", "0/3,000", "0"],
    ["done", "finished", "1", "1,000/1,000", "512.3", "10"],
  ]
  assert table[4].strip() == "trials: 1 finished, 1 running, 1 failed, 0 waiting"
