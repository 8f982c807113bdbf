"""Curves and pages of runs."""

import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3 as imageio
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dreamerax import cli
from dreamerax.analysis.animations import newest_animations
from dreamerax.analysis.curves import Curve, on_grid, read_curve, smooth
from dreamerax.analysis.plots import draw
from dreamerax.analysis.reference import load_reference
from dreamerax.analysis.runs import find_runs, group
from dreamerax.analysis.summary import summarize
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.metrics import MetricsWriter, read_metrics
from tests.analysis.recorded import make_run


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
  """Two settings on two tasks, two seeds each."""
  for task in ("walker_walk", "cheetah_run"):
    for seed in (0, 1):
      for preset, level in (("dreamer-v3", 600.0), ("dreamer-v2", 400.0)):
        folder = tmp_path / "sweep" / preset / task / str(seed)
        make_run(folder, preset=preset, seed=seed, task=f"dmc/{task}", level=level + 100 * seed)
  return tmp_path / "sweep"


def test_curves_are_read_from_metrics(tmp_path: Path):
  rows = read_metrics(make_run(tmp_path / "run", level=300.0, env_steps=20_000) / "metrics.jsonl")
  curve = read_curve(rows, "evaluation")
  np.testing.assert_array_equal(curve.env_steps, [5000, 10000, 15000, 20000])
  np.testing.assert_array_equal(curve.returns, [310] * 4)
  np.testing.assert_allclose(curve.minutes, curve.env_steps / 6000)
  np.testing.assert_array_equal(read_curve(rows, "training").returns, [300] * 4)
  assert not len(read_curve([], "training").returns)


def test_curves_of_seeds_meet_where_all_have_been():
  one = Curve(np.array([0.0, 10]), np.array([0.0, 10]), np.array([0.0, 1]))
  other = Curve(np.array([5.0, 20]), np.array([0.0, 15]), np.array([2.0, 3]))
  x, values = on_grid([one, other], "env_steps") or pytest.fail("they have a stretch in common")
  assert (x[0], x[-1]) == (5, 10)
  np.testing.assert_allclose(values[:, -1], [10, 5])
  assert on_grid([one, other], "minutes") is None


def test_episodes_are_averaged_over_stretches():
  curve = Curve(np.arange(1.0, 101), np.tile([0.0, 10.0], 50), np.zeros(100))
  smoothed = smooth(curve, points=10)
  np.testing.assert_allclose(smoothed.returns, [5] * 10)
  np.testing.assert_allclose(smoothed.env_steps[:2], [5.5, 15.5])


def test_a_figure_has_a_panel_for_each_task_and_a_line_for_each_mean(sweep: Path):
  figure = draw(group(find_runs([sweep])), references=[load_reference("dreamerv3")])
  panels = [axis for axis in figure.axes if axis.get_title()]
  assert [panel.get_title() for panel in panels] == ["dmc/cheetah_run", "dmc/walker_walk"]
  (legend,) = figure.legends
  assert {text.get_text() for text in legend.get_texts()} == {
    "dreamer-v3 12m (mean of 2 seeds)",
    "dreamer-v2 published (mean of 2 seeds)",
    "dreamerv3, published (training returns)",
  }
  means = {line.get_label(): line.get_ydata() for line in panels[1].get_lines()}
  np.testing.assert_allclose(means["dreamer-v3 12m (mean of 2 seeds)"], 660)
  plt.close(figure)


def test_aggregates_are_over_tasks_at_the_steps_that_all_have(sweep: Path):
  (ours, theirs), (improvement,) = summarize(group(find_runs([sweep])), "evaluation")
  assert {ours.label, theirs.label} == {"dreamer-v3 12m", "dreamer-v2 published"}
  by_label = {each.label: each for each in (ours, theirs)}
  assert by_label["dreamer-v3 12m"].interquartile_mean.value == pytest.approx(0.66)
  assert by_label["dreamer-v2 published"].optimality_gap.value == pytest.approx(0.54)
  assert (ours.runs, ours.tasks, ours.env_steps) == (4, ("dmc/cheetah_run", "dmc/walker_walk"), 110_000)
  better = improvement.better == "dreamer-v3 12m"
  assert improvement.probability.value == (1.0 if better else 0.0)


def test_a_picture_of_runs(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  out = tmp_path / "new" / "curves.png"
  assert cli.main(["plot", str(sweep), "--out", str(out), "--x", "env_steps", "minutes", "--level", "50"]) == 0
  pixels = imageio.imread(out)
  assert pixels.shape[1] > pixels.shape[0] > 300 and pixels.std() > 10
  printed = " ".join(capsys.readouterr().out.split())
  assert "dreamer-v3 12m 2 4 110,000 0.660" in printed and "probability of improvement" in printed


def test_runs_of_different_environments_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  make_run(tmp_path / "one")
  make_run(tmp_path / "other", env={"rendering": "fast"})
  out = tmp_path / "curve.png"
  assert cli.main(["plot", str(tmp_path), "--out", str(out)]) == 2
  assert "rendering is 'published'" in capsys.readouterr().err and not out.exists()
  assert cli.main(["plot", str(tmp_path), "--out", str(out), "--anyway"]) == 0 and out.exists()


def test_runs_without_returns_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  (make_run(tmp_path / "run") / "metrics.jsonl").write_text("")
  assert cli.main(["plot", str(tmp_path), "--out", str(tmp_path / "c.png")]) == 2
  assert "no run has a return of evaluation" in capsys.readouterr().err


def film(run: Path, step: int, brightness: int) -> None:
  writer = MetricsWriter(run, size=10**9)
  writer.video(Counters(step, step, 0), "eval/video", np.full((3, 8, 8, 3), brightness, np.uint8))
  writer.close()
  time.sleep(1.1)  # event files are named by the second


def test_the_newest_video_is_found_and_torn_events_are_passed_over(tmp_path: Path):
  run = make_run(tmp_path / "run")
  assert newest_animations(run) == []
  film(run, 1000, 10)
  film(run, 2000, 200)
  (found,) = newest_animations(run)
  assert (found.name, found.env_steps) == ("eval/video", 2000)
  assert abs(int(imageio.imread(found.gif).mean()) - 200) < 5
  newest = max(run.glob("events.*"), key=lambda path: path.name)
  newest.write_bytes(newest.read_bytes()[:-5])
  assert newest_animations(run)[0].env_steps == 1000


class Page(HTMLParser):
  """What a page shows."""

  def __init__(self, text: str):
    super().__init__()
    self.text, self.images, self.links = "", [], []
    self.feed(text)

  def handle_starttag(self, tag: str, attrs: list):
    values = dict(attrs)
    self.images += [values["src"]] if tag == "img" else []
    self.links += [values[name] for name in ("href", "src") if name in values and tag != "img"]

  def handle_data(self, data: str):
    self.text += data + " "


def make_page(folder: Path) -> Path:
  make_run(folder / "runs" / "good", level=650.0)
  bad = make_run(folder / "runs" / "bad", seed=1, level=600.0)
  (bad / "nonfinite").mkdir()
  (bad / "nonfinite" / "update-7.bin").write_bytes(b"")
  film(bad, 5000, 128)
  out = folder / "report.html"
  assert cli.main(["plot", str(folder / "runs"), "--out", str(out), "--against", "dreamerv3"]) == 0
  return out


def test_a_page_holds_everything_itself(tmp_path: Path):
  page = Page(make_page(tmp_path).read_text())
  assert not page.links and all(image.startswith("data:image/") for image in page.images)
  assert [image.split(";")[0] for image in page.images] == ["data:image/svg+xml", "data:image/gif"]
  for words in (
    "601.7 ± 123.4 (10 seeds)",
    "seeds: ours 2, theirs 10",
    "met numbers that are not finite: update-7.bin",
    "has ended early: 110,000 of 1,000,000 env steps",
    "eval/video at 5,000 env steps",
    '"action_repeat": 2',
    "optimality gap",
  ):
    assert words in page.text, words


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium: apt-get install chromium")
def test_a_browser_shows_the_page(tmp_path: Path):
  """The document as the browser has it after loading, and what it paints."""
  out, picture = make_page(tmp_path), tmp_path / "screen.png"
  line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
  url = f"file://{out}"
  script = "<script>document.title = [...document.images].map(i => i.complete && i.naturalWidth > 0).join()</script>"
  out.write_text(out.read_text().replace("</body>", f"{script}</body>"))
  shown = subprocess.run([*line, "--virtual-time-budget=5000", "--dump-dom", url], capture_output=True, check=True)
  assert b"<title>true,true</title>" in shown.stdout
  subprocess.run([*line, f"--screenshot={picture}", "--window-size=1200,1600", url], capture_output=True, check=True)
  pixels = imageio.imread(picture)[..., :3]
  assert pixels.shape[:2] == (1600, 1200) and pixels.std() > 5 and (pixels < 100).any(-1).mean() > 0.005
