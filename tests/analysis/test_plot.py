"""Curves and pages of runs."""

import base64
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3 as imageio
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dreamerax import cli
from dreamerax.analysis.animations import newest_animations
from dreamerax.analysis.curves import Curve, on_grid, read_curve, smooth
from dreamerax.analysis.plots import Panels, draw
from dreamerax.analysis.reference import load_reference
from dreamerax.analysis.runs import find_runs, group
from dreamerax.analysis.summary import summarize
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.telemetry.metrics import MetricsWriter, read_metrics
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
  curve = read_curve(rows, "eval/return")
  np.testing.assert_array_equal(curve.env_steps, [5000, 10000, 15000, 20000])
  np.testing.assert_array_equal(curve.values, [310] * 4)
  np.testing.assert_allclose(curve.minutes, curve.env_steps / 6000)
  np.testing.assert_array_equal(read_curve(rows, "episode/return").values, [300] * 4)
  assert not len(read_curve([], "episode/return").values)


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
  np.testing.assert_allclose(smoothed.values, [5] * 10)
  np.testing.assert_allclose(smoothed.env_steps[:2], [5.5, 15.5])


def test_a_figure_has_a_panel_for_each_task_and_a_line_for_each_mean(sweep: Path):
  figure = draw(group(find_runs([sweep]).runs), Panels(references=[load_reference("dreamerv3")]))
  panels = list(figure.axes)
  assert [panel.get_title().split("\n")[:2] for panel in panels] == [
    [task, "evaluation returns beside training"] for task in ("dmc/cheetah_run", "dmc/walker_walk")
  ]
  (legend,) = figure.legends
  assert {text.get_text() for text in legend.get_texts()} == {
    "dreamer-v3 12m (mean of 2 seeds)",
    "dreamer-v2 published (mean of 2 seeds)",
    "dreamerv3, published training returns",
    "each seed",
    "95 % bootstrap interval of the mean",
  }
  means = {line.get_label(): line.get_ydata() for line in panels[1].get_lines()}
  np.testing.assert_allclose(means["dreamer-v3 12m (mean of 2 seeds)"], 660)
  plt.close(figure)


def test_aggregates_are_over_tasks_at_the_steps_that_all_have(sweep: Path):
  (ours, theirs), (improvement,) = summarize(group(find_runs([sweep]).runs), "evaluation")
  assert {ours.label, theirs.label} == {"dreamer-v3 12m", "dreamer-v2 published"}
  by_label = {each.label: each for each in (ours, theirs)}
  assert by_label["dreamer-v3 12m"].interquartile_mean.value == pytest.approx(0.66)
  assert by_label["dreamer-v2 published"].optimality_gap.value == pytest.approx(0.54)
  assert (ours.seeds, ours.tasks, ours.env_steps) == (4, ("dmc/cheetah_run", "dmc/walker_walk"), 110_000)
  better = improvement.better == "dreamer-v3 12m"
  assert improvement.probability.value == (1.0 if better else 0.0)


def test_a_picture_of_runs(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  out = tmp_path / "new" / "curves.png"
  assert cli.main(["plot", str(sweep), "--out", str(out), "--x", "env_steps", "minutes", "--level", "50"]) == 0
  pixels = imageio.imread(out)
  assert pixels.shape[1] > pixels.shape[0] > 300 and pixels.std() > 10
  printed = " ".join(capsys.readouterr().out.split())
  assert "dreamer-v3 12m 2 4 110,000 evaluation 0.660" in printed and "probability of improvement" in printed


def write_returns(run: Path, points: list[tuple[int, float | None]]) -> Path:
  rows = [{"env_steps": step, "seconds": step / 100, "eval/return": value} for step, value in points]
  (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  return run


def drawn(folder: Path, panels: Panels | None = None):
  """The first panel of the runs in a folder, and the words of the legend."""
  figure = draw(group(find_runs([folder]).runs), panels)
  plt.close(figure)
  return figure.axes[0], [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
  "points",
  [[(10, -1500.0), (20, -300.0)], [(10, -5.0)], [(10, 3.0), (20, -4.0)], [(10, 0.0)], [(10, 346.6), (20, 348.4)]],
)
def test_axes_hold_returns_of_any_sign(tmp_path: Path, points: list):
  write_returns(make_run(tmp_path / "run", task="gym/Pendulum-v1"), points)
  panel, _ = drawn(tmp_path)
  low, high = panel.get_ylim()
  assert low < high and all(low <= value < high - 0.03 * (high - low) for _, value in points)
  assert (low == 0) == all(value >= 0 for _, value in points)


def test_a_seed_counts_once_in_a_curve(tmp_path: Path):
  for name, seed, level in (("a", 0, 100.0), ("again", 0, 200.0), ("b", 1, 350.0)):
    write_returns(make_run(tmp_path / name, seed=seed), [(1000, level), (2000, level)])
  panel, words = drawn(tmp_path)
  assert words[0] == "dreamer-v3 12m (mean of 2 seeds)"
  means = {line.get_label(): line.get_ydata() for line in panel.get_lines()}
  np.testing.assert_allclose(means[words[0]], 250)
  for path in ("b", "again"):
    shutil.rmtree(tmp_path / path)
  assert drawn(tmp_path)[1] == ["dreamer-v3 12m (1 seed)"]


@pytest.mark.parametrize(
  ("second", "words"),
  [((1000, 5.0), "dreamer-v3 12m (mean of 2 seeds)"), ((2000, 5.0), "dreamer-v3 12m (2 seeds)")],
)
def test_single_points_are_markers(tmp_path: Path, second: tuple, words: str):
  for seed, point in enumerate([(1000, 3.0), second]):
    write_returns(make_run(tmp_path / str(seed), seed=seed), [point, (3000, None)])
  panel, legend = drawn(tmp_path)
  assert legend == [words]
  assert sum(line.get_marker() == "o" for line in panel.get_lines()) == 2


def test_long_names_are_whole_and_dollars_are_no_formula(tmp_path: Path):
  task = "a_package.with_a_very_long_name.and_a_module:make_environment_$x_$^"
  for envs in range(1, 13):
    make_run(tmp_path / str(envs), task=task, num_envs=envs)
  figure = draw(group(find_runs([tmp_path]).runs), title="$^")
  figure.canvas.draw()
  assert figure.axes[0].get_title().replace("\n", "") == task
  (legend,) = figure.legends
  assert len(legend.get_texts()) == 12 and len({line.get_color() for line in figure.axes[0].get_lines()}) == 12
  box, page = legend.get_window_extent(), figure.bbox
  assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
  plt.close(figure)


def test_published_scores_are_drawn_beside_returns_of_their_kind(tmp_path: Path):
  """v3's scores are of training episodes, v2's of evaluations."""
  make_run(tmp_path / "runs" / "0", level=400.0)
  out = tmp_path / "report.html"
  line = ["plot", str(tmp_path / "runs"), "--out", str(out), "--against", "dreamerv3", "dreamerv2"]
  assert cli.main(line) == 0
  page = Page(out.read_text())
  picture = base64.b64decode(page.images[0].partition("base64,")[2]).decode()
  for words in ("evaluation return", "training return", "dreamerv2, published evaluation returns"):
    assert f"<!-- {words} -->" in picture, words
  assert " beside " not in picture
  assert "400.0 (1 seed)" in page.text and "410.0 (1 seed)" in page.text
  assert cli.main([*line, "--returns", "evaluation"]) == 0
  page = Page(out.read_text())
  picture = base64.b64decode(page.images[0].partition("base64,")[2]).decode()
  assert "<!-- evaluation returns beside training" in picture and "400.0 (1 seed)" not in page.text


def test_any_metric_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  make_run(tmp_path / "run")
  panel, _ = drawn(tmp_path, Panels(metrics=["eval/return_std"]))
  assert panel.get_ylabel() == "eval/return_std" and set(panel.get_lines()[0].get_ydata()) == {5.0}
  line = ["plot", str(tmp_path), "--out", str(tmp_path / "c.png"), "--y"]
  assert cli.main([*line, "eval/length"]) == 0
  assert cli.main([*line, "eval/lenght"]) == 2
  assert (
    "y='eval/lenght': no run has that metric. Name one of metrics.jsonl, such as eval/length" in capsys.readouterr().err
  )
  assert cli.main([*line, "eval/length", "--returns", "training"]) == 2
  assert "leave --returns and --against out" in capsys.readouterr().err


def test_runs_of_different_environments_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  make_run(tmp_path / "one")
  make_run(tmp_path / "other", env={"rendering": "fast"})
  out = tmp_path / "curve.png"
  assert cli.main(["plot", str(tmp_path), "--out", str(out)]) == 2
  assert "rendering is 'published'" in capsys.readouterr().err and not out.exists()
  assert cli.main(["plot", str(tmp_path), "--out", str(out), "--anyway"]) == 0 and out.exists()


def test_a_task_in_other_pictures_says_why_no_score_is_beside_it(tmp_path: Path):
  """How closely dm_control draws does not apply to it, so that runs whose presets differ in that are of the same thing."""
  make_run(tmp_path / "runs" / "one", task="mjx/walker_walk")
  make_run(tmp_path / "runs" / "other", task="mjx/walker_walk", env={"rendering": "balanced"})
  out = tmp_path / "report.html"
  assert cli.main(["plot", str(tmp_path / "runs"), "--out", str(out), "--against", "dreamerv3"]) == 0
  picture = base64.b64decode(Page(out.read_text()).images[0].partition("base64,")[2]).decode()
  assert "without dreamerv3: mjx/ draws other" in picture


def test_runs_without_returns_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  (make_run(tmp_path / "run") / "metrics.jsonl").write_text("")
  assert cli.main(["plot", str(tmp_path), "--out", str(tmp_path / "c.png")]) == 2
  assert "no run has evaluation return" in capsys.readouterr().err


def film(run: Path, step: int, brightness: int) -> None:
  writer = MetricsWriter(run, size=10**9)
  writer.video(Counters(step, step, 0), "eval/video", np.full((3, 8, 8, 3), brightness, np.uint8))
  writer.close()
  (written,) = run.glob("events.out.tfevents.*.*")  # event files are named by the second
  written.rename(run / f"events.out.tfevents.{step}")


def test_the_newest_video_is_found_and_torn_events_are_passed_over(tmp_path: Path):
  run = make_run(tmp_path / "run")
  assert newest_animations(run) == []
  film(run, 1000, 10)
  film(run, 2000, 200)
  (found,) = newest_animations(run)
  assert (found.name, found.env_steps) == ("eval/video", 2000)
  assert abs(int(imageio.imread(found.gif).mean()) - 200) < 5
  newest = run / "events.out.tfevents.2000"
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
