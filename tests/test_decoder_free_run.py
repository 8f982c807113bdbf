"""A run whose world model has no decoder, through the command line: train, go on, score, film, export."""

from pathlib import Path

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.test_training import WITHOUT_DECODER

pytestmark = pytest.mark.slow


def train(logdir: Path, env_steps: int, *more: str) -> None:
  lengths = ["--sync", "--env-steps", str(env_steps), "--eval-every", "0", "--video-every", "1000"]
  assert cli.main(["train", "dreamer-r2", "--logdir", str(logdir), *WITHOUT_DECODER, *lengths, *more]) == 0


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  logdir = tmp_path_factory.mktemp("runs") / "r2"
  train(logdir, 2000)
  return logdir


def test_it_trains_and_writes_no_open_loop_video(logdir: Path):
  rows = [row for row in read_metrics(logdir / "metrics.jsonl") if "train/loss/barlow" in row]
  assert rows and not any("reconstruction" in name or "probe" in name for name in rows[-1])
  events = b"".join(path.read_bytes() for path in logdir.glob("events.out.tfevents.*"))
  assert b"open_loop" not in events and b"eval/video" in events


def test_it_goes_on_to_the_bit(logdir: Path, tmp_path: Path):
  train(tmp_path / "halves", 1400)
  train(tmp_path / "halves", 2000)
  whole, halves = (api.load_agent(folder)[1] for folder in (logdir, tmp_path / "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)


def test_it_is_scored_exported_and_drawn_as_far_as_it_can_be(
  logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  film, policy = tmp_path / "run.gif", tmp_path / "policy.bin"
  assert cli.main(["eval", str(logdir), "--episodes", "2", "--video", str(film)]) == 0
  assert len(imageio.imread(film, index=None)) == 21
  assert cli.main(["export", str(logdir), "--out", str(policy), "--batch", "2", "--platforms", "cpu"]) == 0
  observation = {"image": np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)}
  expected, _ = dreamerax.load_policy(logdir)(observation)
  np.testing.assert_allclose(dreamerax.load_exported(policy)(observation)[0], expected, atol=1e-6)
  assert cli.main(["plot", str(logdir), "--out", str(tmp_path / "plot.html")]) == 0
  capsys.readouterr()
  assert cli.main(["video", str(logdir), "--out", str(tmp_path / "dream.gif")]) == 2
  said = capsys.readouterr().err
  assert "decodes no images, so it dreams none" in said and len(said.strip().splitlines()) == 1


def test_a_probe_brings_the_pictures_back(tmp_path: Path):
  probe = "--agent.world-model.objectives.probe"
  sizes = [f"{probe}.decoder.depth", "4", f"{probe}.decoder.mults", "1", "2", f"{probe}.decoder.units", "8"]
  train(tmp_path / "run", 1400, f"{probe}.sequences", "1", *sizes)
  events = b"".join(path.read_bytes() for path in (tmp_path / "run").glob("events.out.tfevents.*"))
  assert b"open_loop/image" in events
  film = tmp_path / "dream.gif"
  turns = ["--steps", "20", "--context", "2", "--horizon", "5"]
  assert cli.main(["video", str(tmp_path / "run"), "--out", str(film), *turns]) == 0
  assert len(imageio.imread(film, index=None)) == 21
