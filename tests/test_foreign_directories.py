"""A directory from elsewhere makes no command read or write outside of it, or import what lies in it."""

import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamerax import api, config_file, presets, run_list
from dreamerax.cli import main
from dreamerax.commands import video_file
from dreamerax.recordings import EpisodeFolder
from dreamerax.runtime.checkpoint import checksums
from dreamerax.runtime.telemetry.metrics import MetricsWriter
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

SPEC = EnvSpec({"image": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(1))
NAMES = ("config.json", "lock", "metrics.jsonl", "checkpoints", "replay", "nonfinite", "profile", "open_loop.png")
DEEPER = ("events.out.tfevents.1.host", "checkpoints/8/manifest", "replay/0.rows")


@pytest.fixture
def run(tmp_path: Path) -> Path:
  config_file.write(presets.build("quick"), SPEC, tmp_path / "run", "quick", stored={})
  return tmp_path / "run"


@pytest.mark.parametrize("name", NAMES + DEEPER)
@pytest.mark.parametrize(
  "command", ["train --logdir RUN", "eval RUN", "doctor RUN", "dream RUN", "export RUN", "plot RUN"]
)
def test_a_link_in_a_run_directory_is_refused_by_name(
  run: Path, name: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
  monkeypatch.chdir(run.parent)
  outside = run.parent / "outside"
  outside.write_text((run / "config.json").read_text())
  (run / name).parent.mkdir(parents=True, exist_ok=True)
  (run / name).unlink(missing_ok=True)
  (run / name).symlink_to(outside)
  before = outside.read_bytes()
  assert main(command.replace("RUN", str(run)).split()) == 2
  said = capsys.readouterr().err
  assert f"{run / name} is a symbolic link" in said and said.count("\n") == 1
  assert outside.read_bytes() == before


def test_a_pipe_in_a_run_directory_is_refused(run: Path, capsys: pytest.CaptureFixture[str]):
  os.mkfifo(run / "metrics.jsonl")
  assert main(["eval", str(run)]) == 2
  assert "metrics.jsonl is a pipe or a device" in capsys.readouterr().err


def test_a_new_run_does_not_begin_among_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "checkpoints").symlink_to(tmp_path)
  for options in ([], ["--seeds", "2"]):
    assert main(["train", "--logdir", str(tmp_path / "run"), *options]) == 2
    assert "checkpoints is a symbolic link" in capsys.readouterr().err


def test_the_directory_itself_may_be_reached_through_a_link(run: Path):
  (run.parent / "newest").symlink_to(run)
  assert api.load_preset(run.parent / "newest") == "quick"


def test_a_link_in_a_folder_of_episodes_is_refused(tmp_path: Path):
  EpisodeFolder.create(tmp_path / "episodes", SPEC)
  (tmp_path / "episodes" / "000000.npz").symlink_to("/etc/passwd")
  with pytest.raises(ValueError, match=r"000000\.npz is a symbolic link"):
    EpisodeFolder(tmp_path / "episodes")


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_is_not_written_through_a_link(tmp_path: Path, name: str):
  outside = tmp_path / "outside"
  outside.write_text("mine")
  (tmp_path / name).symlink_to(outside)
  with pytest.raises(ValueError, match=f"{name} is a symbolic link"):
    video_file.write(tmp_path / name, np.zeros((2, 8, 8, 3), np.uint8), 10)
  assert outside.read_text() == "mine"


def test_a_world_model_elsewhere_is_read_only_where_it_is_named(run: Path, capsys: pytest.CaptureFixture[str]):
  config = replace(presets.build("quick"), env_steps=200_000)
  config_file.write(config, SPEC, run, "quick", stored={}, init_world_model="/elsewhere/run")
  assert main(["train", "--logdir", str(run)]) == 2
  said = capsys.readouterr().err
  assert "give --init-world-model /elsewhere/run too" in said and said.count("\n") == 1


@pytest.mark.slow
def test_modules_in_the_current_directory_are_not_imported(tmp_path: Path):
  for name in ("numpy", "jax", "tyro", "ray", "jax_plugins", "ctypes", "typing", "evil"):
    (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)")
  root = str(Path(__file__).parents[1])
  environment = {**os.environ, "PYTHONPATH": root}
  config_file.write(presets.build("quick"), SPEC, tmp_path / "run", "quick", stored={})
  for arguments in (["eval", "run"], ["list"], ["check-env", "gym/CartPole-v1", "--steps", "1"]):
    done = subprocess.run(
      [sys.executable, "-m", "dreamerax", *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert b"Traceback" not in done.stderr


def test_a_module_in_the_current_directory_is_found_where_it_is_named(tmp_path: Path):
  (tmp_path / "mine.py").write_text("import gymnasium\ndef make():\n  return gymnasium.make('Pendulum-v1')\n")
  environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
  command = [sys.executable, "-P", "-m", "dreamerax", "check-env", "mine:make"]
  done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr


def test_a_hard_link_to_a_file_elsewhere_is_not_written(run: Path, capsys: pytest.CaptureFixture[str]):
  outside = run.parent / "outside"
  outside.write_text("mine")
  os.link(outside, run / "metrics.jsonl")
  with pytest.raises(ValueError, match=r"metrics\.jsonl has another name too \(a hard link\)"):
    MetricsWriter(run)
  assert outside.read_text() == "mine"


@pytest.mark.parametrize("name", ["/dev/zero", "../outside", "pipe"])
def test_a_manifest_makes_no_file_elsewhere_be_read(run: Path, name: str):
  (run.parent / "outside").touch()
  os.mkfifo(run / "pipe")
  body = f"00000000 0 {name}\n".encode()
  (run / checksums.MANIFEST).write_bytes(f"{zlib.crc32(body):08x}\n".encode() + body)
  assert checksums.find_problem(run) in (f"{name} is not in the folder of its manifest.txt", "pipe is no file")


def test_words_of_a_directory_move_no_cursor(run: Path, capsys: pytest.CaptureFixture[str]):
  config = json.loads((run / "config.json").read_text())
  config["config"]["env"]["task"] = "gym/\x1b[2J\udcff"
  (run / "config.json").write_text(json.dumps({**config, "checksum": "edited"}))
  (run.parent / "a\x1b\nb").mkdir()
  shutil.copy(run / "config.json", run.parent / "a\x1b\nb")
  for command in (["eval", run], ["doctor", run], ["plot", run], ["compare", run], ["runs", run.parent]):
    main([str(word) for word in command])
    printed = capsys.readouterr()
    assert all(line.isprintable() for line in (printed.out + printed.err).splitlines())
    assert printed.out.count("\n") <= 12


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_list_of_runs_reads_nothing_elsewhere(run: Path, kind: str):
  (run.parent / "outside").write_text('{"env_steps": 5, "eval/return": 5}\n')
  if kind == "pipe":
    os.mkfifo(run / "metrics.jsonl")
  else:
    (run / "metrics.jsonl").symlink_to(run.parent / "outside")
  (found,) = run_list.find(run)
  assert found.last_return is None and "metrics.jsonl is a" in found.state
