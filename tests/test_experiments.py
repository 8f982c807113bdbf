"""The scripts beside the package."""

import json
from pathlib import Path

import imageio.v3 as imageio
import pytest

from dreamerax import presets
from dreamerax.api import CONFIG
from dreamerax.config import to_dict
from experiments import plot_curve, random_returns


def make_run(folder: Path, seed: int) -> Path:
  """A run directory as far as a curve needs it."""
  folder.mkdir()
  config = to_dict(presets.build("quick")) | {"seed": seed}
  (folder / CONFIG).write_text(json.dumps({"preset": "quick", "config": config}))
  lines = [
    {
      "env_steps": step,
      "seconds": step / 100,
      **{f"eval/return{end}": 100.0 + step / 100 for end in ("", "_min", "_max")},
    }
    for step in (10_000, 20_000, 30_000)
  ]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"train/kl": 1.0}]))
  return folder


def test_curves_of_seeds_are_drawn(tmp_path: Path):
  runs = [str(make_run(tmp_path / str(seed), seed)) for seed in (0, 1)]
  plot_curve.main([*runs, "--out", str(tmp_path / "new" / "curve.png"), "--random", "50"])
  pixels = imageio.imread(tmp_path / "new" / "curve.png")
  assert pixels.shape[1] > pixels.shape[0] > 300 and pixels.std() > 10


def test_runs_of_different_environments_are_refused(tmp_path: Path, capsys):
  one, other = make_run(tmp_path / "one", 0), make_run(tmp_path / "other", 1)
  stored = json.loads((other / CONFIG).read_text())
  stored["config"]["env"]["rendering"] = "fast"
  (other / CONFIG).write_text(json.dumps(stored))
  line = [str(one), str(other), "--out", str(tmp_path / "curve.png")]
  with pytest.raises(SystemExit):
    plot_curve.main(line)
  assert "rendering is 'balanced'" in capsys.readouterr().err and not (tmp_path / "curve.png").exists()
  plot_curve.main([*line, "--anyway"])
  assert (tmp_path / "curve.png").exists()


def test_random_actions_have_a_return(capsys):
  random_returns.main(["--task", "dmc/cartpole_balance", "--action-repeat", "50", "--episodes", "2"])
  mean = float(capsys.readouterr().out.split()[0])
  assert 50 < mean < 900
