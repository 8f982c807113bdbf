import json

import pytest

from benchmarks import env


@pytest.mark.slow
def test_the_benchmark_prints_one_line_per_row(capsys, monkeypatch):
  for name in ("REPEATS", "PAIRS", "CALLS"):
    monkeypatch.setattr(env, name, 2)
  env.main(["--task", "dmc/cartpole_balance", "--envs", "2", "--workers", "1", "--steps", "2", "--rendering", "fast"])
  (line,) = capsys.readouterr().out.splitlines()
  row = json.loads(line)
  assert row["benchmark"] == "env" and row["envs"] == 2 and row["machine"]["cores"] >= 1
  assert 0 < row["min"] <= row["frames_per_second"] <= row["max"]
  assert row["renderer"] > 0 and row["share"] > 0
  assert 0.1 < row["pixels_differ"] < 0.6 and 0.5 < row["mean_error"] < 5
