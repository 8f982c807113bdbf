"""Loggers beside the run directory: what they are given, and that none of their failures reaches the run."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dreamerax import cli
from dreamerax.loggers import names, process
from dreamerax.loggers.base import recall
from dreamerax.loggers.process import LoggerProcess, close
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.telemetry.metrics import MetricsWriter
from tests.conftest import needs

TOYS = "tests.loggers.toys"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
  (tmp_path / "config.json").write_text('{"config": {"seed": 3}}')
  return tmp_path


def film(height: int, width: int) -> np.ndarray:
  return np.stack([np.full((height, width, 3), value, np.uint8) for value in (0, 100, 200)])


def log(run_dir: Path, toy: str, steps: range = range(4), *, waiting: int = 100, **ending) -> None:
  logger = LoggerProcess("toy", f"{TOYS}:{toy}", run_dir, waiting=waiting)
  for step in steps:
    logger.scalars(step, {"eval/return": 2.0 * step})
  logger.video(steps[-1], "eval/video", film(8, 10))
  close([logger], **{"seconds": 60, "say": lambda line: None} | ending)


def lines(run_dir: Path) -> list:
  return [json.loads(line) for line in (run_dir / "toy.jsonl").read_text().splitlines()]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
  return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_logger_gets_the_config_all_scalars_and_videos_and_goes_on_with_its_run(run_dir: Path, caplog):
  log(run_dir, "Toy", range(2))
  identity = recall(run_dir, "toy")
  log(run_dir, "Toy", range(1, 3))
  first, *middle, last = lines(run_dir)
  assert first == ["open", identity, {"config": {"seed": 3}}] and last == ["close"]
  assert middle[:3] == [
    ["scalars", 0, {"eval/return": 0.0}],
    ["scalars", 1, {"eval/return": 2.0}],
    ["video", 1, "eval/video", [3, 8, 10, 3]],
  ]
  assert middle[4] == first and recall(run_dir, "toy") == identity
  assert warnings(caplog) == []


@pytest.mark.parametrize(
  ("toy", "words"),
  [
    ("NoStart", "RuntimeError: no network;"),
    ("Leaves", "SystemExit: not here;"),
    ("Missing", "AttributeError: module"),
    ("Fails", "OSError: connection lost;"),
    ("Dies", "its process ended with status -6"),
  ],
)
def test_a_failure_is_one_warning(run_dir: Path, caplog, toy: str, words: str):
  log(run_dir, toy)
  (warning,) = warnings(caplog)
  assert warning.startswith("--log toy: ") and words in warning and "the run goes on" in warning
  if toy == "Fails":
    assert [line[1] for line in lines(run_dir) if line[0] == "scalars"] == [0, 2]


@pytest.mark.parametrize("toy", ["HangsAtStart", "Hangs", "HangsAtEnd"])
def test_a_logger_that_hangs_stalls_nothing(run_dir: Path, caplog, toy: str):
  """Far more than fits into the pipe between the processes, and the queues before it and behind."""
  count = 10 if toy == "HangsAtEnd" else 20_000
  log(run_dir, toy, range(count), waiting=50, seconds=1.5)
  (line,) = warnings(caplog)
  assert ("more are lost" if count > 10 else "still sending, and goes on by itself for at most 30 s") in line


def test_what_is_waited_for_is_said_and_a_person_ends_it(run_dir: Path, caplog):
  said = []
  log(run_dir, "HangsAtEnd", range(3), say=said.append, stopped=lambda: bool(said))
  assert said == ["waiting for toy to send what is left, at most 60 s; Ctrl-C ends the waiting"]
  assert "the run is over" in warnings(caplog)[0]


def test_nothing_is_lost_of_a_logger_that_is_slow_to_begin(run_dir: Path, caplog):
  """The run ends before it has begun; its process goes on by itself."""
  log(run_dir, "BeginsSlowly", range(30), seconds=0.5)
  assert "goes on by itself" in warnings(caplog)[0]
  deadline = time.monotonic() + 60
  while not (run_dir / "toy.jsonl").exists() or lines(run_dir)[-1] != ["close"]:
    assert time.monotonic() < deadline
    time.sleep(0.1)
  assert [line[1] for line in lines(run_dir) if line[0] == "scalars"] == list(range(30))


def test_a_logger_leaves_when_the_run_is_killed(run_dir: Path):
  program = f"""
    import time
    from pathlib import Path
    from dreamerax.loggers.process import LoggerProcess
    logger = LoggerProcess("toy", "{TOYS}:Toy", Path({str(run_dir)!r}))
    logger.scalars(1, {{"x": 1.0}})
    time.sleep(1000)
  """
  with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) as process:
    deadline = time.monotonic() + 60
    while not ((run_dir / "toy.jsonl").exists() and len(lines(run_dir)) == 2):
      assert time.monotonic() < deadline
      time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
  while lines(run_dir)[-1] != ["close"]:
    assert time.monotonic() < deadline
    time.sleep(0.1)


def test_links_lead_no_logger_out_of_the_run_directory(run_dir: Path, tmp_path: Path, caplog):
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  (run_dir / "loggers").symlink_to(elsewhere)
  log(run_dir, "Toy")
  (warning,) = warnings(caplog)
  assert "symbolic link" in warning and not list(elsewhere.iterdir())


def test_the_writer_gives_finite_numbers_to_loggers(run_dir: Path, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setitem(names.CLASSES, "toy", f"{TOYS}:Toy")  # type: ignore[arg-type]
  writer = MetricsWriter(run_dir, loggers=["toy"])
  writer.write(Counters(8, 4, 1), 1.0, {"a": 1.5, "b": float("nan")})
  writer.close()
  assert lines(run_dir)[1] == ["scalars", 8, {"a": 1.5}]


def test_a_missing_package_is_refused_at_the_start(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
  monkeypatch.setattr(names, "find_spec", lambda name: None)
  for name in names.CLASSES:
    with pytest.raises(ValueError, match=f"--log {name}: the package {name} is not installed: `make setup"):
      names.check_installed([name])
  logdir = tmp_path / "run"
  assert cli.main(["train", "--log", "mlflow", "--logdir", str(logdir), "--workers.count", "0"]) == 2
  said = " ".join(capsys.readouterr().err.split())
  assert "the package mlflow is not installed: `make setup EXTRAS=dev,mlflow`, or leave mlflow out" in said
  assert not (logdir / "checkpoints").exists()


# What needs the packages: `make setup EXTRAS=dev,wandb,mlflow,trackio`.


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
  """The end of a run waits for loggers as long as they take: importing them does, on a busy machine."""
  monkeypatch.setattr(process, "close", partial(process.close, seconds=300))


def log_twice(run_dir: Path, name: str, caplog: pytest.LogCaptureFixture) -> str:
  """A run of two steps that goes on from the first; returns the logger's id."""
  ids = set()
  for begin in (0, 10):
    writer = MetricsWriter(run_dir, loggers=[name])
    for step in (begin, begin + 10):
      writer.write(Counters(step, step, 0), 1.0, {"eval/return": 1.0 + step})
    writer.video(Counters(begin, 0, 0), "eval/video", film(16, 16))
    writer.close()
    ids.add(recall(run_dir, name))
  assert warnings(caplog) == []
  (identity,) = ids
  assert identity
  return identity


@needs("wandb")
@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_wandb_offline_goes_on_with_one_run(run_dir: Path, caplog, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setenv("WANDB_MODE", "offline")
  identity = log_twice(run_dir, "wandb", caplog)
  kept = sorted(run_dir.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))
  assert len(kept) == 2 and all(b"eval/return" in path.read_bytes() for path in kept)
  assert len(list(run_dir.glob("wandb/offline-run-*/files/media/videos/eval/*.gif"))) == 2


@needs("mlflow")
@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_mlflow_keeps_a_database_in_the_run_directory(run_dir: Path, caplog, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
  identity = log_twice(run_dir, "mlflow", caplog)
  with sqlite3.connect(run_dir / "mlflow.db") as database:
    assert database.execute("select run_uuid, status from runs").fetchall() == [(identity, "FINISHED")]
    found = database.execute("select step, value from metrics where key = 'eval/return' order by step").fetchall()
    assert sorted(set(found)) == [(0, 1.0), (10, 11.0), (20, 21.0)]
    assert ("config.seed", "3") in database.execute("select key, value from params").fetchall()
  database.close()
  assert len(list(run_dir.glob("mlflow/*/artifacts/eval/video/*/*.gif"))) == 2


@needs("trackio")
@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_trackio_keeps_a_database_on_this_machine(run_dir: Path, tmp_path: Path, caplog, monkeypatch):
  monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
  identity = log_twice(run_dir, "trackio", caplog)
  with sqlite3.connect(tmp_path / "trackio" / "dreamerax.db") as database:
    rows = database.execute("select run_name, step, metrics from metrics").fetchall()
  database.close()
  values = {(name, step): json.loads(text).get("eval/return") for name, step, text in rows if b"return" in bytes(text)}
  assert values == {(identity, 0): 1.0, (identity, 10): 11.0, (identity, 20): 21.0}


@needs("wandb")
@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_wandb_without_a_key_or_a_network_is_a_warning(run_dir: Path, caplog, monkeypatch: pytest.MonkeyPatch):
  for name in [name for name in os.environ if name.startswith("WANDB_")]:
    monkeypatch.delenv(name)
  monkeypatch.setenv("HOME", str(run_dir))
  monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nobody listens
  monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
  monkeypatch.setenv("WANDB_INIT_TIMEOUT", "5")
  writer = MetricsWriter(run_dir, loggers=["wandb"])
  writer.write(Counters(1, 1, 0), 1.0, {"x": 1.0})
  writer.close()
  (warning,) = warnings(caplog)
  assert warning.startswith("--log wandb: ")
