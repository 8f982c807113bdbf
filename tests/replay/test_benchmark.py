"""The benchmark's command works and prints what the documentation promises."""

import json
import subprocess
import sys
from pathlib import Path


def test_benchmark_prints_one_json_line():
  command = [
    "-m",
    "benchmarks.replay",
    "--batch",
    "2",
    "--length",
    "4",
    "--envs",
    "2",
    "--steps",
    "64",
    "--repeats",
    "1",
  ]
  root = Path(__file__).resolve().parents[2]
  output = subprocess.run([sys.executable, *command], cwd=root, check=True, capture_output=True, text=True).stdout
  row = json.loads(output)
  assert row["benchmark"] == "replay"
  assert (row["batch"], row["length"]) == (2, 4)
  assert row["bytes_per_step"] <= 1.05 * row["payload_per_step"]
  for name in (
    "sample_gb_per_s",
    "memcpy_gb_per_s",
    "share_of_memcpy",
    "inserts_per_s",
    "log_inserts_per_s",
    "log_mb_per_s",
    "load_mb_per_s",
  ):
    assert row[name] > 0
