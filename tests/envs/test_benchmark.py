import json

import pytest

from benchmarks import env


@pytest.mark.slow
def test_the_benchmark_prints_one_line_per_row(capsys, monkeypatch):
  for name in ("REPEATS", "PAIRS", "CALLS"):
    monkeypatch.setattr(env, name, 2)
  monkeypatch.setattr(env, "measure_apart", env.measure)
  env.main(["--task", "dmc/cartpole_balance", "--envs", "2", "--workers", "1", "--steps", "2", "--rendering", "fast"])
  (line,) = capsys.readouterr().out.splitlines()
  row = json.loads(line)
  assert row["benchmark"] == "env" and row["envs"] == 2 and row["machine"]["cores"] >= 1
  assert 0 < row["min"] <= row["frames_per_second"] <= row["max"]
  assert row["renderer"] > 0 and row["share"] > 0
  assert 0.1 < row["pixels_differ"] < 0.6 and 0.5 < row["mean_error"] < 5


@pytest.mark.slow
def test_a_suite_of_array_programs_is_measured_beside_worker_processes(capsys, monkeypatch):
  pytest.importorskip("mujoco_warp")
  monkeypatch.setattr(env, "FRAMES", 4)
  env.main(["--suite", "mjx", "--task", "cartpole_balance", "--envs", "1", "3"])
  rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  kinds = [(row["task"], row["envs"], row["workers"], row["rendering"]) for row in rows]
  assert kinds[:2] == [("mjx/cartpole_balance", 1, 0, None), ("mjx/cartpole_balance", 3, 0, None)]
  assert kinds[2:] == [
    ("dmc/cartpole_balance", envs, workers, "fast") for workers in (0, env.CORES) for envs in env.BESIDE
  ]
  assert all(row["frames_per_second"] > 0 and row["memory_mib"] > 50 for row in rows)


def test_what_a_suite_chooses_by_itself_is_refused(capsys):
  with pytest.raises(SystemExit):
    env.main(["--suite", "mjx", "--workers", "2"])
  assert "--workers is chosen by --suite" in capsys.readouterr().err
