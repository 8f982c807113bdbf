"""The commands in miniature: record, train a world model alone, go on, begin a run with it."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax import api, cli, config_file, training, transfer
from dreamerax.agent import Agent
from dreamerax.behavior.uniform import Uniform
from dreamerax.config import to_dict
from dreamerax.offline import train as offline
from dreamerax.recordings import EpisodeFolder
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.checkpoint.checkpoints import load_state
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.types import ActionSpec
from tests import tiny

pytestmark = pytest.mark.slow  # compiles an agent's functions many times

# Episodes of 4 decisions that show two numbers; a world model with every part.
RECORD = "record --task tests.envs.toys:counter --episodes 8 --num-envs 2 --workers.count 0 --out"
MODEL = """
  --replay.batch-size 2 --replay.batch-length 4 --agent.optimizer.warmup 0
  --agent.world-model.encoder.units 8 --agent.world-model.encoder.layers 1
  --agent.world-model.objectives.reconstruction.decoder.units 8
  --agent.world-model.objectives.reconstruction.decoder.layers 1
  --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8
  --agent.world-model.dynamics.stochastic.groups 2 --agent.world-model.dynamics.stochastic.classes 4
  --agent.world-model.reward.units 8 --agent.world-model.continues.units 8
"""
ALONE = shlex.split(f"train-world-model dreamer-v3 {MODEL} --open-loop.context 2 --held-out 0.25 --eval-every 3")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
  folder = tmp_path_factory.mktemp("data") / "episodes"
  assert cli.main([*shlex.split(RECORD), str(folder)]) == 0
  return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
  logdir = tmp_path_factory.mktemp("runs") / "world"
  assert cli.main([*ALONE, "--data", str(data), "--logdir", str(logdir), "--updates", "4"]) == 0
  return logdir


def test_a_run_directory_holds_what_it_should(trained: Path, data: Path):
  config, recorded = api.load_config(trained), offline.load(RunDirectory.open(trained))
  assert isinstance(config.agent.behavior, Uniform) and config.env.task == "tests.envs.toys:counter"
  assert (recorded.episodes, recorded.held_out) == (8, 0.25)
  assert recorded.steps == 6 * 5
  rows = read_metrics(trained / "metrics.jsonl")
  evaluated = [row["updates"] for row in rows if "open_loop/model/clock/mse/1" in row]
  assert evaluated == [3, 4]
  assert {"open_loop/last_frame/reward/mae/2", "open_loop/mean/clock/mse/3"} <= rows[-1].keys()
  assert any("train/loss/dynamics" in row for row in rows) and not any("train/loss/actor" in row for row in rows)
  assert (trained / offline.PLOT).read_bytes().startswith(b"\x89PNG")


def test_nothing_but_the_world_model_is_there_to_change(trained: Path):
  agent, params = api.load_agent(trained)
  fresh = jax.device_get(jax.jit(agent.init)(jax.random.key(0))["params"])
  assert not jax.tree.leaves(params["behavior"])
  before, after = jax.tree.leaves(fresh["world_model"]), jax.tree.leaves(jax.device_get(params["world_model"]))
  assert [x.shape for x in before] == [x.shape for x in after]
  assert any((x != y).any() for x, y in zip(before, after, strict=True))


def test_alone_it_learns_what_it_learns_beside_a_behaviour():
  """Dreamer v2's order: the world model steps first, by its own losses alone."""
  config = dataclasses.replace(tiny.config(), model_first=True)
  beside = Agent(config, tiny.VECTOR)
  alone = Agent(dataclasses.replace(config, behavior=Uniform(), model_first=False), tiny.VECTOR)
  state, batch, key = jax.jit(beside.init)(jax.random.key(0)), tiny.batch(beside), jax.random.key(1)
  mine = jax.jit(alone.init)(jax.random.key(3))
  mine = {**mine, "params": {**mine["params"], "world_model": state["params"]["world_model"]}}
  (one, one_latents, _), (other, other_latents, metrics) = (
    jax.jit(agent.update)(start, batch, key) for agent, start in ((beside, state), (alone, mine))
  )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
    (one["params"]["world_model"], one_latents),
    (other["params"]["world_model"], other_latents),
  )
  assert "loss/replay_value" not in metrics and np.isfinite(metrics["loss/total"])


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("--updates 6 --seed 1", "seed=1 differs from 0"),
    ("--agent.world-model.reward.units 9", "--agent.world-model.reward.units=9 differs from 8"),
    ("--held-out 0.5", r"steps=20 differs from 30|--held-out=0.5 differs from 0.25"),
    ("--open-loop.horizon 9", "--open-loop.horizon=9 differs from 45"),
    ("--updates 0", "updates=0 must be at least 1"),
  ],
)
def test_another_run_in_its_directory_is_refused(line: str, message: str, trained: Path, data: Path, capsys):
  before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
  try:
    status = cli.main(["train-world-model", "--data", str(data), "--logdir", str(trained), *line.split()])
  except SystemExit as end:
    status = end.code
  printed = capsys.readouterr()
  text = " ".join(re.sub("[│╭╮╰╯─]", " ", printed.out + printed.err).split())
  assert status == 2 and re.search(message, text), text
  assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_its_configuration_is_read_once(trained: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys):
  opened, read = [], config_file.read
  monkeypatch.setattr(config_file, "read", lambda path: opened.append(path) or read(path))
  assert cli.main(["train-world-model", "--data", str(data), "--logdir", str(trained), "--seed", "1"]) == 2
  assert "seed=1 differs from 0" in capsys.readouterr().err and opened == [trained]


def test_more_episodes_make_another_run(trained: Path, data: Path, tmp_path: Path, capsys):
  more = tmp_path / "more"
  more.mkdir()
  for file in data.iterdir():
    (more / file.name).write_bytes(file.read_bytes())
  EpisodeFolder(more).write(EpisodeFolder(data).read_all()[0])
  assert cli.main(["train-world-model", "--data", str(more), "--logdir", str(trained)]) == 2
  assert "episodes=9 differs from 8" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("train-world-model", "data: name the folder of the episodes, --data DIR"),
    ("train-world-model --data nowhere", "nowhere holds no recorded episodes"),
    ("train-world-model quik --data nowhere", "preset='quik' is not one of"),
    (
      "train --logdir {trained}",
      "holds a world model that was trained alone: begin a run from it with --init-world-model",
    ),
    ("train --init-world-model nowhere --logdir new", "nowhere is not a run directory"),
    (
      "train dreamer-v3 --task tests.envs.toys:corridor --init-world-model {trained} --logdir new",
      r"observation 'clock' is ArraySpec\(shape=\(2,\), dtype='float32'\) there and None in this run",
    ),
    (
      "train dreamer-v3 --task tests.envs.toys:counter --init-world-model {trained} --logdir new",
      "--agent.world-model.encoder.layers is 1 there and 3 in this run: give 1, or begin without it",
    ),
  ],
)
def test_mistakes_are_refused_before_anything_starts(line, message, trained: Path, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(training, "train_run", lambda *arguments, **options: pytest.fail("training has started"))
  assert cli.main(line.format(trained=trained).split()) == 2
  assert re.search(message, capsys.readouterr().err)
  assert not list(tmp_path.iterdir())


def test_nothing_is_trained_where_there_is_no_world_model(data: Path, tmp_path: Path, capsys):
  line = f"train-world-model guided-policy --data {data} --logdir {tmp_path / 'run'}"
  assert cli.main(line.split()) == 2
  assert "world_model=Unmodelled has nothing to learn: choose a preset" in " ".join(capsys.readouterr().err.split())
  assert not list(tmp_path.iterdir())


def test_other_actions_do_not_fit(trained: Path):
  source, _ = api.load_agent(trained)
  spec = dataclasses.replace(source.spec, action=ActionSpec(2, discrete=True))
  with pytest.raises(ValueError, match=r"action\.discrete is False there and True"):
    transfer.check_fits(trained, source, Agent(source.config, spec))


def test_exactly_the_world_model_is_taken_over(trained: Path):
  source, _ = api.load_agent(trained)
  config = dataclasses.replace(source.config, behavior=tiny.config().behavior)
  agent = Agent(config, source.spec)
  transfer.check_fits(trained, source, agent)
  fresh = jax.jit(agent.init)(jax.random.key(5))
  given = transfer.with_world_model(fresh, trained, source)
  loaded = load_state(trained, source)[0]["params"]["world_model"]
  jax.tree.map(np.testing.assert_array_equal, given["params"]["world_model"], loaded)
  rest = {**given, "params": {**given["params"], "world_model": fresh["params"]["world_model"]}}
  jax.tree.map(np.testing.assert_array_equal, rest, fresh)


def test_a_run_begins_with_it_once(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
  """What `api.train` gives to the loop; that a loop which goes on does not call `initial` is the next test's."""
  config = api.load_config(trained, "tests.envs.toys")
  config = dataclasses.replace(config, workers=dataclasses.replace(config.workers, count=0))
  given = []

  def train(parts, settings, *, begin):
    begin()
    given.append(parts.initial(jax.jit(parts.agent.init)(jax.random.key(5)))["params"]["world_model"])

  monkeypatch.setattr(training, "train_run", train)
  logdir = tmp_path / "run"
  api.train(config, logdir, init_world_model=trained)
  assert json.loads((logdir / config_file.CONFIG).read_text())[config_file.INITIAL] == str(trained)
  with pytest.raises(ValueError, match=f"give --init-world-model {trained} too"):  # which config.json alone names
    api.train(config, logdir)  # as after a crash before the first checkpoint
  api.train(config, logdir, init_world_model=trained)
  assert json.loads((logdir / config_file.CONFIG).read_text())[config_file.INITIAL] == str(trained)
  wanted = load_state(trained, api.load_agent(trained)[0])[0]["params"]["world_model"]
  for each in given:
    jax.tree.map(np.testing.assert_array_equal, each, wanted)
  with pytest.raises(ValueError, match=f"began with {trained}: leave it out"):
    api.train(config, logdir, init_world_model=tmp_path)
  api.train(config, tmp_path / "fresh")
  assert config_file.INITIAL not in json.loads((tmp_path / "fresh" / config_file.CONFIG).read_text())
  with pytest.raises(ValueError, match="began with a new world model"):
    api.train(config, tmp_path / "fresh", init_world_model=trained)


def test_the_stored_recording_is_json(trained: Path):
  assert json.loads((trained / config_file.CONFIG).read_text())[config_file.RECORDED] == to_dict(
    offline.load(RunDirectory.open(trained))
  )


def test_an_agent_records_in_the_environment_of_its_run(trained: Path, tmp_path: Path, capsys):
  line = ["record", "--policy", str(trained), "--episodes", "3", "--num-envs", "2", "--out", str(tmp_path / "more")]
  line += ["--trust", "tests.envs.toys"]
  assert cli.main([*line, "--workers.count", "0"]) == 0
  folder = EpisodeFolder(tmp_path / "more")
  assert folder.about["env"]["task"] == "tests.envs.toys:counter" and len(folder.read_all()) == 3
  assert all(np.abs(episode.action[1:]).min() > 0 for episode in folder.read_all())
  line += ["--task", "tests.envs.toys:corridor"]
  assert cli.main(line) == 2
  assert "was trained on" in capsys.readouterr().err
