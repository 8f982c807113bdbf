"""The whole path in miniature, through the command line: train on a real task from pixels, score, film, go on."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

import imageio.v3 as imageio
import numpy as np
import psutil
import pytest

import dreamerax
from dreamerax import api, cli, run_directory
from dreamerax.agent import Agent
from dreamerax.commands import doctor_run
from dreamerax.runtime.checkpoint.checkpoints import load_state
from dreamerax.runtime.run_lock import RunLock
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.viewer.server import Server

# An agent that has every part in its smallest size, and episodes of 20 decisions.
WITHOUT_DECODER = shlex.split("""
  --task dmc/cartpole_balance --image-size 16 --action-repeat 50 --num-envs 2 --prefill-steps 20 --log-every 0.5
  --eval-episodes 2 --replay.capacity 1000 --replay.batch-size 2 --replay.batch-length 4 --schedule.ratio 2
  --agent.optimizer.warmup 0 --agent.behavior.actor-optimizer.warmup 0
  --agent.world-model.encoder.depth 2 --agent.world-model.encoder.mults 1 2
  --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8
  --agent.world-model.dynamics.stochastic.groups 2 --agent.world-model.dynamics.stochastic.classes 4
  --agent.world-model.reward.units 8 --agent.world-model.continues.units 8
  --agent.behavior.actor.layers 1 --agent.behavior.actor.units 8
  --agent.behavior.critic.layers 1 --agent.behavior.critic.units 8 --agent.behavior.horizon 2
""")
TINY = WITHOUT_DECODER + shlex.split("""
  --agent.world-model.objectives.reconstruction.decoder.depth 4
  --agent.world-model.objectives.reconstruction.decoder.mults 1 2
  --agent.world-model.objectives.reconstruction.decoder.units 8
""")


@contextmanager
def nobody_listens() -> Iterator[None]:
  """Looks now and then whether this process, or one that it started, listens on a network."""
  done, heard = Event(), set()

  def look() -> None:
    while not done.wait(0.3):
      ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
      connections = psutil.net_connections()
      heard.update(c.laddr for c in connections if c.pid in ours and c.status == psutil.CONN_LISTEN)

  thread = Thread(target=look)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()
  assert not heard


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A finished run; what follows reads it, and the last test goes on with it."""
  logdir = tmp_path_factory.mktemp("runs") / "first"
  lengths = ["--env-steps", "3000", "--eval-every", "1500", "--video-every", "2000"]
  with nobody_listens():
    assert cli.main(["train", "dreamer-v3", "--logdir", str(logdir), *TINY, *lengths]) == 0
  return logdir


def column(logdir: Path, name: str) -> list[tuple[int, float]]:
  return [(row["env_steps"], row[name]) for row in read_metrics(logdir / "metrics.jsonl") if name in row]


def test_a_run_directory_holds_what_it_should(logdir: Path):
  rows = read_metrics(logdir / "metrics.jsonl")
  assert all({"env_steps", "agent_steps", "updates", "seconds"} <= row.keys() for row in rows)
  assert rows[-1]["env_steps"] == 50 * rows[-1]["agent_steps"] >= 3000
  assert rows[-1]["updates"] > 5
  assert [step for step, _ in column(logdir, "eval/return")][-1] == rows[-1]["env_steps"]
  assert len(column(logdir, "eval/return")) == 2
  assert all(0 <= value <= 1000 for _, value in column(logdir, "eval/return") + column(logdir, "episode/return"))
  assert set(column(logdir, "eval/length")) == {(step, 20.0) for step, _ in column(logdir, "eval/return")}
  for name in ("dynamics", "representation", "reconstruction/image", "reward", "continue", "actor", "critic", "total"):
    assert column(logdir, f"train/loss/{name}"), name
  for name in ("env_steps_per_second", "updates_per_second"):
    assert column(logdir, f"time/{name}"), name
  events = b"".join(path.read_bytes() for path in logdir.glob("events.out.tfevents.*"))
  assert b"open_loop/image" in events and b"eval/video" in events and b"eval/return" in events
  assert [int(path.name) for path in (logdir / "checkpoints").iterdir()] == [rows[-1]["env_steps"]]


def test_the_directory_rebuilds_the_agent(logdir: Path):
  config = api.load_config(logdir)
  assert api.load_preset(logdir) == "dreamer-v3"
  assert (config.num_envs, config.env.action_repeat, config.agent.world_model.dynamics.deter) == (2, 50, 16)
  agent = Agent(config.agent, run_directory.env_spec(config))
  state, saved = load_state(logdir, agent)
  assert int(state["updates"]) == saved.counters.updates


def test_the_directory_is_enough_to_act_and_to_export(
  logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
  monkeypatch.setattr(run_directory, "env_spec", lambda config: pytest.fail("acting needs no simulator"))
  policy = dreamerax.load_policy(logdir)
  observation = {"image": np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)}
  actions, _ = policy(observation)
  assert actions.shape == (2, 1) and policy.header["task"] == "dmc/cartpole_balance"
  out, loader = tmp_path / "policy.bin", tmp_path / "loader.py"
  line = ["export", str(logdir), "--out", str(out), "--batch", "2", "--platforms", "cpu", "--loader", str(loader)]
  assert cli.main(line) == 0
  printed = capsys.readouterr().out
  assert "batches of 2, for cpu" in printed and re.search(r"latency at batch 2: \d+\.\d\d ms", printed)
  np.testing.assert_allclose(dreamerax.load_exported(out)(observation)[0], actions, atol=1e-6)
  assert "import dreamerax" not in loader.read_text()


def test_a_packed_agent_acts_and_dreams_and_does_not_train_on(
  logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  out = tmp_path / "given"
  assert cli.main(["pack", str(logdir), "--out", str(out)]) == 0
  assert f"{out}: 0." in capsys.readouterr().out
  assert read_metrics(out / "metrics.jsonl") == [
    row for row in read_metrics(logdir / "metrics.jsonl") if "eval/return" in row
  ]
  assert cli.main(["pack", str(logdir), "--out", str(out)]) == 2
  assert f"out={out}: something is there" in capsys.readouterr().err
  observation = {"image": np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)}
  (action, _), (whole, _) = (dreamerax.load_policy(each)(observation) for each in (out, logdir))
  np.testing.assert_allclose(action, whole, atol=0.02)
  assert (action != whole).any()  # its numbers are rounded
  assert cli.main(["eval", str(out), "--episodes", "1"]) == 0
  assert cli.main(["doctor", str(out)]) == 0
  assert "packed: it acts, and does not train on" in capsys.readouterr().out
  assert cli.main(["runs", str(tmp_path)]) == 0
  assert "packed" in capsys.readouterr().out
  assert cli.main(["train", "--logdir", str(out), "--env-steps", "6000"]) == 2
  told = capsys.readouterr().err
  assert f"{out} holds a packed agent" in told and f"--init-world-model {out}" in told


# imageio leaves the pipes of its ffmpeg process to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_eval_scores_and_films(logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  film = tmp_path / "films" / "run.mp4"
  assert cli.main(["eval", str(logdir), "--episodes", "3", "--video", str(film)]) == 0
  printed = capsys.readouterr().out
  assert "over 3 episodes" in printed and "mean length: 20 agent steps" in printed
  frames = imageio.imread(film)
  assert frames.shape[0] == 21 and frames.shape[-1] == 3 and frames.std() > 5
  assert cli.main(["eval", str(logdir), "--episodes", "3"]) == 0
  assert capsys.readouterr().out.strip() in printed  # the same seed gives the same episodes


def test_video_shows_behaviour_beside_the_dream(logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  film = tmp_path / "dream.gif"
  turns = ["--steps", "20", "--context", "2", "--horizon", "5"]
  assert cli.main(["video", str(logdir), "--out", str(film), *turns]) == 0
  assert re.search(r"21 steps of an episode.*\d seen, \d+\.\d dreamt", capsys.readouterr().out, re.DOTALL)
  frames = np.asarray(imageio.imread(film, index=None))[..., :3].astype(int)
  size, head = 16 * 16, 40  # a pixel is sixteen wide; two lines of text stand above
  assert frames.shape == (21, head + size, 3 * size, 3)
  red, green, _ = frames[:, head - 2, -2].T
  np.testing.assert_array_equal(green > red, [step % 7 < 2 for step in range(21)])
  truth, prediction, error = (frames[:, head:, side * size : (side + 1) * size] for side in range(3))
  assert truth.std() > 10  # a picture
  np.testing.assert_allclose(error, (prediction - truth + 255) / 2, atol=40)  # a GIF has 256 colours
  assert cli.main(["video", str(logdir), "--steps", "4"]) == 2
  assert "fewer than context + horizon = 50" in capsys.readouterr().err


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
  """Size and time of each file but the lock."""
  paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
  return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def test_dream_lets_a_person_steer_and_changes_nothing(
  logdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
  def visit(server: Server) -> None:
    """A person comes, steers, and ends it with Ctrl-C."""
    began = server.sessions.begin(1.0)
    assert re.fullmatch(r"environment 1, agent step \d+", began["start"])
    steps = [server.sessions.step(began["dream"], action) for action in ([0.5], None)]
    assert steps[0]["action"] == [0.5] and steps[1]["step"] == 2
    raise KeyboardInterrupt

  monkeypatch.setattr(Server, "serve_forever", visit)
  before = files_of(logdir)
  with RunLock(logdir):  # while the run trains
    assert cli.main(["dream", str(logdir), "--port", "0"]) == 0
  assert re.match(r"http://127\.0\.0\.1:\d+/: steer in", capsys.readouterr().out)
  assert files_of(logdir) == before


def test_doctor_tells_what_is_whole_and_what_is_not(logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  def doctor(folder: Path) -> tuple[int, str]:
    status = cli.main(["doctor", str(folder)])
    return status, " ".join(capsys.readouterr().out.split())

  capsys.readouterr()
  status, said = doctor(logdir)
  assert status == 0 and "Nothing is wrong." in said
  steps = read_metrics(logdir / "metrics.jsonl")[-1]["env_steps"]
  for what in (
    "dreamer-v3 12m, dmc/cartpole_balance",
    "in use no",
    f"checkpoint at {steps:,} env steps whole",
    "GiB left",
  ):
    assert what in said, what
  with RunLock(logdir):
    assert f"in use by process {os.getpid()}" in doctor(logdir)[1]
  copy = tmp_path / "copy"
  shutil.copytree(logdir, copy)
  segment = sorted((copy / "replay").iterdir())[-1]
  flip(segment, segment.stat().st_size // 2)
  status, said = doctor(copy)
  assert status == 0 and "they are skipped, and their episodes cut there" in said and segment.name in said
  state = max((copy / "checkpoints").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
  flip(state, 100)
  status, said = doctor(copy)
  assert status == 1 and "put a copy of one back, or begin another run" in said and state.name in said
  (copy / "config.json").write_text("{}")
  status, said = doctor(copy)
  assert status == 1 and "was not written by dreamerax" in said
  assert cli.main(["doctor", str(tmp_path)]) == 2
  assert "is not a run directory" in capsys.readouterr().err


def test_doctor_compares_replay_and_metrics_with_the_end_that_the_checkpoint_knows(logdir: Path, tmp_path: Path):
  def problems(change) -> dict[str, str]:
    copy = tmp_path / "copy"
    shutil.copytree(logdir, copy)
    change(copy)
    found = {finding.name: finding.problem for finding in doctor_run.examine(copy) if finding.problem}
    shutil.rmtree(copy)
    return found

  def segment(run: Path) -> Path:
    return sorted((run / "replay").glob("*.rows"))[-1]

  assert problems(lambda run: None) == {}
  assert "is missing" in problems(lambda run: shutil.rmtree(run / "replay"))["replay"]
  assert "is missing" in problems(lambda run: segment(run).unlink())["replay"]
  assert "has 0 bytes instead of" in problems(lambda run: os.truncate(segment(run), 0))["replay"]
  cut = lambda run: os.truncate(segment(run), segment(run).stat().st_size // 2)  # noqa: E731
  assert "bytes instead of" in problems(cut)["replay"]
  metrics = logdir / "metrics.jsonl"
  assert "at the newest checkpoint" in problems(lambda run: os.truncate(run / metrics.name, 99))["metrics.jsonl"]


def test_config_json_says_how_the_run_was_made_and_any_change_of_it_is_noticed(
  logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  text = (logdir / "config.json").read_text()
  data = json.loads(text)
  started = data["started"]
  assert started["version"] == dreamerax.__version__ and started["device"].endswith("(cpu)")
  assert datetime.fromisoformat(started["date"]).tzinfo and started["command"]
  events = b"".join(path.read_bytes() for path in logdir.glob("events.out.tfevents.*"))
  assert started["date"].encode() in events
  run = tmp_path / "run"
  shutil.copytree(logdir, run)
  changed = {name: value for name, value in data.items() if name != "checksum"}
  for change in (
    text.replace('"batch_size": 2', '"batch_size": 3'),
    text.replace('"env_steps": 3', '"env_steps": 7'),
    json.dumps({**changed, "checksum": "0" * 16}),
    json.dumps(changed),
  ):
    assert change != text
    (run / "config.json").write_text(change)
    capsys.readouterr()
    assert cli.main(["doctor", str(run)]) == 1
    assert "config.json is not" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["train", "--logdir", str(run)]) == 2
    said = capsys.readouterr().err
    assert "config.json is not" in said and 'write "checksum": "edited"' in said
  (run / "config.json").write_text(json.dumps({**data, "checksum": "edited"}, indent=1))
  assert cli.main(["train", "--logdir", str(run)]) == 0  # it has reached its end
  (run / "config.json").write_text(json.dumps(data))
  assert cli.main(["doctor", str(run)]) == 0


def flip(path: Path, position: int) -> None:
  data = bytearray(path.read_bytes())
  data[position] ^= 1
  path.write_bytes(data)


def test_a_restart_goes_on(logdir: Path):
  before = read_metrics(logdir / "metrics.jsonl")
  assert cli.main(["train", "--logdir", str(logdir), "--env-steps", "5500", "--video-every", "0"]) == 0
  after = read_metrics(logdir / "metrics.jsonl")
  assert after[: len(before)] == before
  for name in ("env_steps", "agent_steps", "updates", "seconds"):
    values = [row[name] for row in after]
    assert values == sorted(values) and values[-1] > before[-1][name]
  assert after[-1]["env_steps"] >= 5500
  assert json.loads((logdir / "config.json").read_text())["config"]["env_steps"] == 5500
