"""The page in a real browser, under a person's keys."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from tests.viewer import toys

# Appended to the page's own script, whose names it sees.
PERSON = """
addEventListener("error", (event) => (document.title = event.message));
addEventListener("unhandledrejection", (event) => (document.title = String(event.reason)));
const hit = (...keys) =>
  keys.forEach((key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
const until = async (true_) => {
  while (!true_()) await new Promise((resolve) => setTimeout(resolve, 20));
};
async function person() {
  const story = {};
  const last = () => frames.at(-1);
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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium: apt-get install chromium")
def test_a_person_steers_in_a_browser(tmp_path: Path):
  line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
  with toys.serving() as server:
    dream = server.rooms.begin(0.0)["dream"]
    server.rooms.step(dream, None)  # compiled beforehand
    server.rooms.step(dream, [0.0, 0.0])
    script, kind = server.static["/page.js"]
    server.static["/page.js"] = (script + PERSON.encode(), kind)
    browse = [*line, "--virtual-time-budget=60000", "--window-size=1200,900"]
    dom = subprocess.run([*browse, "--dump-dom", server.url], capture_output=True, check=True, text=True).stdout
    picture = tmp_path / "screen.png"
    subprocess.run([*browse, f"--screenshot={picture}", server.url], capture_output=True, check=True)
  found = re.search("<title>(.*)</title>", dom)
  story = json.loads(html.unescape(found[1])) if found else {}
  assert story["begun"] == [0, "as the model saw it", "at 0.5"]
  np.testing.assert_allclose(story["steered"], [0.2, -0.1], atol=1e-6)
  assert len(story["piloted"]) == 4 and np.ptp(story["piloted"], 0).max() > 1e-3
  np.testing.assert_allclose(story["sliders"], story["piloted"][-1], atol=0.006)
  assert story["again"] == "Play" and story["trouble"] == ""
  np.testing.assert_allclose([float(text) for text in story["shown"]], story["expected"], atol=0.006)
  pixels = imageio.imread(picture)[..., :3].astype(int)
  orange = (np.abs(pixels - [0xB4, 0x54, 0x0A]).max(-1) < 40).sum()
  assert pixels.shape[:2] == (900, 1200) and orange > 100  # the line of rewards is drawn
