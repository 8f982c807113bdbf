"""metrics.jsonl survives crashes and restarts; TensorBoard gets scalars and animations."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from dreamerax.runtime.counters import Counters
from dreamerax.runtime.telemetry.metrics import MetricsWriter, read_metrics


def write(logdir: Path, *env_steps: int, size: int = 0, after: int = -1) -> None:
  writer = MetricsWriter(logdir, size=size, after=after)
  for step in env_steps:
    writer.write(Counters(step, step // 2, 1), 0.5, {"eval/return": step / 10})
  writer.close()


def events(logdir: Path) -> list:
  """TensorBoard's records: length, its checksum, bytes, their checksum."""
  found = []
  for path in sorted(logdir.glob("events.*")):
    data = io.BytesIO(path.read_bytes())
    while head := data.read(12):
      found.append(Event.FromString(data.read(int.from_bytes(head[:8], "little"))))
      data.read(4)
  return found


def test_a_line_carries_the_counters(tmp_path: Path):
  write(tmp_path, 10)
  expected = {"env_steps": 10, "agent_steps": 5, "updates": 1, "seconds": 0.5, "eval/return": 1.0}
  assert read_metrics(tmp_path / "metrics.jsonl") == [expected]


def test_a_torn_last_line_is_dropped_and_another_named(tmp_path: Path):
  write(tmp_path, 10, 20)
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(path.read_bytes()[:-9])
  assert [row["env_steps"] for row in read_metrics(path)] == [10]
  path.write_text('{"env\n{"env_steps": 3}\n')
  with pytest.raises(ValueError, match="line 1"):
    read_metrics(path)


def test_a_restart_drops_what_came_after_the_checkpoint(tmp_path: Path):
  write(tmp_path, 10, 20)
  size = (tmp_path / "metrics.jsonl").stat().st_size
  write(tmp_path, 30, size=size, after=20)
  write(tmp_path, 25, size=size, after=20)
  assert [row["env_steps"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [10, 20, 25]
  write(tmp_path, 1)
  assert [row["env_steps"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1]


def test_a_line_torn_before_the_checkpoint_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture):
  write(tmp_path, 10, 20)
  path = tmp_path / "metrics.jsonl"
  size = path.stat().st_size
  path.write_bytes(path.read_bytes()[:-9])
  write(tmp_path, 30, size=size, after=20)
  assert [row["env_steps"] for row in read_metrics(path)] == [10, 30]
  assert "lacks" in caplog.text and "at the checkpoint" in caplog.text


def test_lines_that_waited_for_space_are_written_at_close(tmp_path: Path):
  program = (
    "import resource, sys\nfrom pathlib import Path\nfrom dreamerax.runtime.telemetry.metrics import MetricsWriter\n"
    "from dreamerax.runtime.counters import Counters\n"
    "writer = MetricsWriter(Path(sys.argv[1]))\nresource.setrlimit(resource.RLIMIT_FSIZE, (200, -1))\n"
    "for step in range(9):\n  writer.write(Counters(step, step, 0), 0.5, {'a': 1.0})\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\nwriter.close()\n"
    "assert writer.size == (Path(sys.argv[1]) / 'metrics.jsonl').stat().st_size"
  )
  done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert "cannot be written" in done.stderr
  assert [row["env_steps"] for row in read_metrics(tmp_path / "metrics.jsonl")] == list(range(9))
  assert len(events(tmp_path)) > 0 and all(path.stat().st_size for path in tmp_path.glob("events.*"))


def test_metrics_are_not_written_through_a_link(tmp_path: Path):
  (tmp_path / "mine").write_text("kept")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "metrics.jsonl").symlink_to(tmp_path / "mine")
  with pytest.raises(ValueError, match=r"run/metrics\.jsonl is a symbolic link"):
    MetricsWriter(tmp_path / "run")
  assert (tmp_path / "mine").read_text() == "kept"


def test_numbers_that_are_not_finite_are_null(tmp_path: Path):
  writer = MetricsWriter(tmp_path)
  writer.write(Counters(), 0.0, {"a": math.nan, "b": math.inf, "c": 1})
  writer.close()
  row = json.loads((tmp_path / "metrics.jsonl").read_text())
  assert (row["a"], row["b"], row["c"]) == (None, None, 1)


def test_tensorboard_gets_scalars_and_videos_at_env_steps(tmp_path: Path):
  writer = MetricsWriter(tmp_path)
  frames = np.zeros((5, 8, 6, 3), np.uint8)
  frames[np.arange(5), np.arange(5)] = 255  # a line that moves down
  writer.write(Counters(40, 20, 3), 1.0, {"train/loss/image": 2.5})
  writer.video(Counters(50, 25, 3), "open_loop/image", frames)
  writer.close()
  values = {value.tag: (event.step, value) for event in events(tmp_path) for value in event.summary.value}
  step, scalar = values["train/loss/image"]
  assert step == 40 and scalar.simple_value == 2.5
  step, video = values["open_loop/image"]
  assert step == 50 and (video.image.height, video.image.width) == (8, 6)
  np.testing.assert_array_equal(imageio.imread(video.image.encoded_image_string, index=None)[..., :3], frames)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_a_video_may_have_any_number_of_channels(tmp_path: Path, channels: int):
  frames = np.zeros((5, 8, 6, channels), np.uint8)
  frames[np.arange(5), np.arange(5)] = 255
  writer = MetricsWriter(tmp_path)
  writer.video(Counters(50, 25, 3), "eval/video", frames)
  writer.close()
  video = next(value for event in events(tmp_path) for value in event.summary.value)
  shown = imageio.imread(video.image.encoded_image_string, index=None)[..., :3]
  np.testing.assert_array_equal(shown, np.repeat(frames[..., :1], 3, -1))


def test_a_video_that_cannot_be_encoded_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
  writer = MetricsWriter(tmp_path)
  writer.video(Counters(50, 25, 3), "eval/video", np.zeros((5, 8, 6), np.uint8))
  writer.write(Counters(51, 25, 3), 1.0, {"a": 1})
  writer.close()
  assert "eval/video" in caplog.text
  assert [value.tag for event in events(tmp_path) for value in event.summary.value] == ["a"]
