"""Runs beside published scores."""

import errno
import gzip
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dreamerax import cli
from dreamerax.analysis.compare import Comparison, compare
from dreamerax.analysis.curves import Curve, window
from dreamerax.analysis.reference import load_reference
from dreamerax.analysis.runs import find_runs, group
from dreamerax.runtime.schedule import TrainRatioConfig
from tests.analysis.recorded import make_run

# walker_walk: dreamerv3 has 601.7 ± 123.4 at 100,000 env steps, dreamerv2 408.2 ± 65.0


def compared(folder: Path, against: str = "dreamerv3", **options) -> list[Comparison]:
  return compare(group(find_runs([folder]).runs), load_reference(against), **options)


def test_a_window_ends_at_its_step_and_is_so_wide():
  curve = Curve(np.array([84.0, 85, 90, 100, 101]), np.array([1000.0, 1, 2, 3, 1000]), np.zeros(5))
  assert window(curve, 100) == (2.0, 3)
  assert window(curve, 50) is None


@pytest.mark.parametrize(
  ("level", "verdict"),
  [(601.7, "reached"), (479.0, "reached"), (477.0, "below"), (724.0, "reached"), (726.0, "above")],
)
def test_the_verdict_is_in_their_standard_deviations(tmp_path: Path, level: float, verdict: str):
  make_run(tmp_path / "run", level=level)
  (found,) = compared(tmp_path)
  assert found.verdict == verdict and found.theirs and found.theirs.env_steps == 100_000
  assert found.difference == pytest.approx((level - 601.7) / 123.4) and found.mean == level


def test_a_margin_of_return_forgives_where_seeds_hardly_differ(tmp_path: Path):
  make_run(tmp_path / "run", level=944.0 - 9, env_steps=500_000)  # theirs: 941.3 ± 8.6
  assert compared(tmp_path, margin=0, tolerance=0)[0].verdict == "below"
  assert compared(tmp_path, margin=10, tolerance=0)[0].verdict == "reached"


def test_like_is_compared_with_like(tmp_path: Path):
  """v3's scores are of training episodes, v2's of evaluations, which score 10 more here."""
  make_run(tmp_path / "run", level=400.0)
  assert compared(tmp_path, "dreamerv3")[0].mean == 400
  assert compared(tmp_path, "dreamerv2")[0].mean == 410
  (found,) = compared(tmp_path, "dreamerv3", returns="evaluation")
  assert found.mean == 410
  assert "episodes: ours of evaluation, theirs of training" in found.caveats
  assert "actions: ours mode, theirs samples" in found.caveats


def test_seeds_have_a_mean_and_a_spread_and_come_to_the_same_step(tmp_path: Path):
  for seed, level in enumerate((500.0, 700.0)):
    make_run(tmp_path / "sweep" / "deep" / str(seed), seed=seed, level=level, env_steps=60_000 + 100_000 * seed)
  (found,) = compared(tmp_path)
  assert found.theirs and found.theirs.env_steps == 50_000
  assert (found.mean, found.std) == (600, pytest.approx(np.sqrt(2) * 100))
  assert "seeds: ours 2, theirs 10" in found.caveats


def test_a_run_is_compared_at_its_end_with_models_of_recorded_steps(tmp_path: Path):
  """PC3 has 29.74 of 40 on the plane: a hundredth of the highest return is 0.4."""
  for seed, level in enumerate((19.2, 19.6)):  # 10 less than the evaluations
    make_run(tmp_path / str(seed), preset="pc3", task="e2c/planar", seed=seed, level=level, env_steps=10_000)
  (found,) = compared(tmp_path, "pc3", tolerance=0)
  assert found.mean == pytest.approx(29.4) and found.verdict == "reached"
  assert compared(tmp_path, "pc3", tolerance=0, margin=5)[0].verdict == "below"
  assert "env steps: ours 10,000, theirs 5,000 that were recorded before" in found.caveats
  assert not any(caveat.startswith(("observations", "action repeat", "rendering")) for caveat in found.caveats)


def test_what_differs_is_told(tmp_path: Path):
  make_run(tmp_path / "run", preset="quick", env={"action_repeat": 8, "rendering": "fast"})
  (found,) = compared(tmp_path)
  for caveat in (
    "method: quick is compared with DreamerV3",
    "action repeat: ours 8, theirs 2",
    "rendering: ours fast, theirs dm_control's own",
  ):
    assert caveat in found.caveats
  assert any("model size: ours tiny" in caveat and "200m" in caveat for caveat in found.caveats)


def test_a_faithful_run_has_few_caveats(tmp_path: Path):
  for seed in range(5):
    make_run(tmp_path / str(seed), seed=seed, preset="dreamer-v2", level=408.2)
  (found,) = compared(tmp_path, "dreamerv2")
  assert found.verdict == "reached" and found.caveats == ()


@pytest.mark.parametrize(
  ("made", "options", "why"),
  [
    ({"task": "gym/Pendulum-v1"}, {}, "has no score on this task"),
    (
      {"task": "mjx/walker_walk"},
      {},
      "other pictures than the scores are of: dreamerax eval .* --task dmc/walker_walk",
    ),
    ({"env_steps": 20_000}, {}, "has come to 20,000 env steps only; the scores are at 25,000"),
    ({"env_steps": 60_000}, {"at": 100_000}, "has come to 60,000 env steps only"),
    ({}, {"at": 123}, "scores at 25,000, 50,000, .* only"),
  ],
)
def test_what_cannot_be_compared_is_unclear(tmp_path: Path, made: dict, options: dict, why: str):
  make_run(tmp_path / "run", **made)
  (found,) = compared(tmp_path, **options)
  assert found.verdict == "unclear"
  assert re.search(why, found.caveats[0])


def test_a_window_without_evaluations_is_unclear(tmp_path: Path):
  run = make_run(tmp_path / "run")
  rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  kept = [row for row in rows if "eval/return" not in row]
  (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
  (found,) = compared(tmp_path, "dreamerv2")
  assert found.verdict == "unclear" and "compare with --returns training" in found.caveats[0]


def test_scores_without_a_spread_are_measured_by_ours(tmp_path: Path):
  for seed, level in enumerate((500.0, 520.0)):
    make_run(
      tmp_path / str(seed),
      preset="planet",
      seed=seed,
      level=level,
      task="dmc/cheetah_run",
      env_steps=1_000_000,
    )
  (found,) = compared(tmp_path, "planet")  # 662, without seeds
  assert found.verdict == "below" and found.difference == pytest.approx((520 - 662) / 14.142, abs=1e-3)
  assert any("in our standard deviations" in caveat for caveat in found.caveats)


def authors_file(path: Path, levels: Sequence[float] = (300.0, 500.0)) -> Path:
  runs = [
    {"task": "dmc_walker_walk", "method": "theirs", "seed": str(i), "xs": [4e4, 9e4, 1e5], "ys": [0.0, level, level]}
    for i, level in enumerate(levels)
  ]
  text = json.dumps(runs).encode()
  path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
  return path


@pytest.mark.parametrize("name", ["scores.json", "scores.json.gz"])
def test_the_authors_files_are_read(tmp_path: Path, name: str):
  make_run(tmp_path / "run", level=300.0)
  (found,) = compared(tmp_path / "run", str(authors_file(tmp_path / name)))
  assert found.theirs and (found.theirs.env_steps, found.theirs.seeds, found.theirs.mean) == (100_000, 2, 400)
  assert found.theirs.std == pytest.approx(np.sqrt(2) * 100) and found.verdict == "reached"


@pytest.mark.parametrize(
  "text", ["[", "[]", "{}", '[{"task": "x"}]', '[{"task":"x","method":"m","seed":0,"xs":[1],"ys":[]}]']
)
def test_other_files_are_refused(tmp_path: Path, text: str):
  (tmp_path / "scores.json").write_text(text)
  with pytest.raises(ValueError, match=r"scores\.json"):
    load_reference(str(tmp_path / "scores.json"))


def test_settings_are_told_apart(tmp_path: Path):
  make_run(tmp_path / "a", seed=0)
  make_run(tmp_path / "b", seed=1, env_steps=60_000)
  make_run(tmp_path / "c", seed=0, schedule=TrainRatioConfig(ratio=32.0))
  make_run(tmp_path / "d", preset="quick")
  settings = group(find_runs([tmp_path, tmp_path / "a"]).runs)
  assert {setting.label: len(setting.runs["dmc/walker_walk"]) for setting in settings} == {
    "dreamer-v3 12m, schedule.ratio=512.0": 2,
    "dreamer-v3 12m, schedule.ratio=32.0": 1,
    "quick tiny": 1,
  }


def test_the_exit_status_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  make_run(tmp_path / "good", level=650.0)
  assert cli.main(["compare", str(tmp_path / "good")]) == 0
  printed = " ".join(capsys.readouterr().out.split())
  assert (
    "601.7 ± 123.4 (10 seeds)" in printed
    and "+0.4 std model size, seeds reached" in printed
    and "model size: ours 12m" in printed
  )
  make_run(tmp_path / "bad", level=100.0, task="dmc/cheetah_run")
  assert cli.main(["compare", str(tmp_path)]) == 1
  assert cli.main(["compare", str(tmp_path / "none")]) == 2
  assert "holds no run" in capsys.readouterr().err
  assert cli.main(["compare", str(tmp_path / "good"), "--against", "dreamer3"]) == 2
  assert "did you mean dreamerv3" in capsys.readouterr().err


def test_runs_on_other_pictures_are_compared_and_the_table_says_what_is_unequal(
  tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  """As `make train` leaves a run, with another length."""
  make_run(tmp_path / "run", preset="quick", level=650.0, env={"rendering": "balanced"})
  assert cli.main(["compare", str(tmp_path)]) == 0
  printed = " ".join(capsys.readouterr().out.split())
  assert "+0.4 std method, action repeat, rendering, model size, seeds reached" in printed
  assert "rendering: ours balanced, theirs dm_control's own" in printed


def test_a_seed_counts_once_and_runs_without_metrics_are_left_out(tmp_path: Path):
  for name, seed, level in (("a", 0, 500.0), ("copy", 0, 500.0), ("b", 1, 800.0)):
    make_run(tmp_path / name, seed=seed, level=level)
  (make_run(tmp_path / "begun", seed=2) / "metrics.jsonl").write_text("")
  (found,) = compared(tmp_path)
  assert found.seeds == (500, 800) and found.theirs and found.theirs.env_steps == 100_000
  assert "runs: 1 of 4 without metrics left out" in found.caveats
  assert "runs: a seed was run more than once, and counts once, with the mean of its runs" in found.caveats


def test_a_folder_that_cannot_be_looked_into_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  make_run(tmp_path / "good")
  (tmp_path / "locked").mkdir()
  real = os.scandir

  def scandir(path):
    if Path(path).name == "locked":
      raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return real(path)

  monkeypatch.setattr(os, "scandir", scandir)
  assert find_runs([tmp_path]).told() == [f"{tmp_path / 'locked'} is left out: Permission denied"]
  with pytest.raises(ValueError, match=r"none of these runs can be read; .*locked: Permission denied"):
    find_runs([tmp_path / "locked"])


def test_broken_runs_are_said_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  make_run(tmp_path / "good", level=650.0)
  for number, text in enumerate(("[1]\n", "{\n{}\n", '{"env_steps": null}\n"x"\n')):
    (make_run(tmp_path / f"bad-{number}", seed=number) / "metrics.jsonl").write_text(text)
  for number, text in enumerate(("", "[]", '{"config": 3}')):
    (make_run(tmp_path / f"worse-{number}") / "config.json").write_text(text)
  assert cli.main(["compare", str(tmp_path)]) == 0
  told = capsys.readouterr().err.splitlines()
  assert len(told) == 6 and all(" is left out: " in line for line in told)
