"""The page in a real browser, under a person's keys."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from dreamerax.viewer.server import Server
from tests import tiny
from tests.viewer import toys

# Appended to the page's own script, whose names it sees.
HANDS = """
addEventListener("error", (event) => (document.title = event.message));
addEventListener("unhandledrejection", (event) => (document.title = String(event.reason)));
const hit = (...keys) =>
  keys.forEach((key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
const until = async (true_) => {
  while (!true_()) await new Promise((resolve) => setTimeout(resolve, 20));
};
const last = () => frames.at(-1);
"""
PERSON = (
  HANDS
  + """
async function person() {
  const story = {};
  await until(() => dream);
  story.begun = [last().step, document.getElementById("mode").textContent, document.getElementById("start-label").textContent];
  hit("ArrowRight", "ArrowRight", "ArrowDown", ".");
  await until(() => last().step === 1);
  story.steered = last().action;
  hit("a", " ");
  await until(() => last().step === 5);
  story.piloted = frames.slice(2).map((frame) => frame.action);
  story.sliders = [...document.querySelectorAll("#action input")].map((slider) => Number(slider.value));
  document.getElementById("play").click();
  document.getElementById("again").click();
  await until(() => dream && last().step === 0);
  story.again = document.getElementById("play").textContent;
  hit("a", " ");
  await until(() => last().step === 20);
  hit(" ");
  story.shown = ["reward", "value", "continues"].map((name) => document.querySelector(`#chart-${name} output`).value);
  story.expected = ["reward", "value", "continues"].map((name) => last()[name]);
  story.trouble = document.getElementById("trouble").textContent;
  document.title = JSON.stringify(story);
}
person();
"""
)


CHOOSER = (
  HANDS
  + """
async function person() {
  const story = {};
  await until(() => dream);
  const pressed = () => [...document.querySelectorAll("#action button")].map((each) => each.getAttribute("aria-pressed"));
  story.rows = [...document.querySelectorAll("#action div")].map((row) => row.textContent);
  hit("2", "5", ".");
  await until(() => last().step === 1);
  story.numbered = last().action;
  hit("ArrowRight", "ArrowRight", "ArrowUp", ".");
  await until(() => last().step === 2);
  story.turned = last().action;
  document.querySelectorAll("#action button")[2].click();
  hit("9", "0", ".");
  await until(() => last().step === 3);
  story.clicked = last().action;
  hit("a", ".");
  await until(() => last().step === 4);
  story.piloted = [last().action, pressed()];
  story.trouble = document.getElementById("trouble").textContent;
  document.title = JSON.stringify(story);
}
person();
"""
)

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium: apt-get install chromium")


def browse(server: Server, person: str, folder: Path) -> tuple[dict[str, Any], np.ndarray]:
  """What a person who acts in the page tells, and the picture [900, 1200, 3] of the page then."""
  dream = server.sessions.begin(0.0)["dream"]
  chosen = server.sessions.step(dream, None)["action"]
  server.sessions.step(dream, chosen)  # both are compiled beforehand
  script, kind = server.static["/page.js"]
  server.static["/page.js"] = (script + person.encode(), kind)
  line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
  line += ["--virtual-time-budget=60000", "--window-size=1200,900"]
  dom = subprocess.run([*line, "--dump-dom", server.url], capture_output=True, check=True, text=True).stdout
  picture = folder / "screen.png"
  subprocess.run([*line, f"--screenshot={picture}", server.url], capture_output=True, check=True)
  found = re.search("<title>(.*)</title>", dom)
  return json.loads(html.unescape(found[1])) if found else {}, imageio.imread(picture)[..., :3]


@pytest.mark.slow
@needs_chromium
def test_a_person_chooses_in_a_browser(tmp_path: Path):
  with toys.serving("LEVERS") as server:
    story, _ = browse(server, CHOOSER, tmp_path)
  assert story["rows"] == ["123", "45"]
  assert story["numbered"] == [0, 1, 0, 0, 1]
  assert story["turned"] == [1, 0, 0, 1, 0]  # each goes round
  assert story["clicked"] == [0, 0, 1, 1, 0]
  piloted, pressed = story["piloted"]
  assert tiny.LEVERS.action.is_one_hot(np.array(piloted)) and story["trouble"] == ""
  assert pressed == [str(x == 1).lower() for x in piloted]


@pytest.mark.slow
@needs_chromium
def test_a_person_steers_in_a_browser(tmp_path: Path):
  with toys.serving() as server:
    story, picture = browse(server, PERSON, tmp_path)
  assert story["begun"] == [0, "as the model saw it", "at 0.5"]
  np.testing.assert_allclose(story["steered"], [0.2, -0.1], atol=1e-6)
  assert len(story["piloted"]) == 4 and np.ptp(story["piloted"], 0).max() > 1e-3
  np.testing.assert_allclose(story["sliders"], story["piloted"][-1], atol=0.006)
  assert story["again"] == "Play" and story["trouble"] == ""
  np.testing.assert_allclose([float(text) for text in story["shown"]], story["expected"], atol=0.006)
  pixels = picture.astype(int)
  orange = (np.abs(pixels - [0xB4, 0x54, 0x0A]).max(-1) < 40).sum()
  assert pixels.shape[:2] == (900, 1200) and orange > 100  # the line of rewards is drawn


LOOKER = (
  HANDS
  + """
async function person() {
  await until(() => dream);
  const [shown, goal] = ["pictures", "goal"].map((name) => document.querySelector(`#${name} img`));
  await Promise.all([shown, goal].map((image) => image.decode()));
  const [left, right] = [shown, goal].map((image) => image.getBoundingClientRect());
  const caption = document.querySelector("#goal figcaption").textContent;
  const sizes = { beside: right.left - left.right, same: right.width - left.width };
  document.title = JSON.stringify({ caption, source: goal.src, ...sizes });
}
person();
"""
)


@pytest.mark.slow
@needs_chromium
def test_the_goal_stands_beside_the_dream(tmp_path: Path):
  with toys.serving("GOALS") as server:
    expected = server.sessions.begin(0.5)["goal"]["image"]
    story, _ = browse(server, LOOKER, tmp_path)
  assert story["caption"] == "goal" and story["source"] == expected
  assert 0 < story["beside"] < 30 and abs(story["same"]) < 1
