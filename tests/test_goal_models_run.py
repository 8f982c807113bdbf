"""Presets that learn to reach goal images without a decoder: what they are refused for, and runs through the command line."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import dreamerax
from dreamerax import api, cli
from dreamerax.agent import Agent
from dreamerax.presets import build
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from experiments import goal_control

IMAGE, NUMBER = ArraySpec((48, 48, 3), "uint8"), ArraySpec((1,))
NAMES = ("cfm", "poke", "events", "vice")
SMALL = shlex.split("""
  --agent.world-model.encoder.depth 2 --agent.world-model.dynamics.units 8 --replay.batch-size 4 --replay.capacity 2000
""")
OF = {
  "cfm": ["--agent.world-model.dynamics.transition.units", "8"],
  "poke": ["--agent.world-model.dynamics.transition.units", "8", "--agent.behavior.units", "8"],
  "events": ["--agent.world-model.objectives.events.ahead", "2", "--replay.batch-length", "4"],
  "vice": ["--agent.behavior.reward.units", "8", "--replay.batch-length", "4"],
}
UNSHOWN = {
  "cfm": "agent.behavior needs the observation 'goal/image'",
  "poke": "agent.behavior needs the observation 'goal/image'",
  "events": "event 'event/contact' is not shown: the environment's events are none",
  "vice": "ExampleClassifier learns from examples that the observation 'goal/image' shows",
}
ONLINE = shlex.split("""
  --num-envs 2 --workers.count 0 --prefill-steps 80 --eval-every 0 --eval-episodes 2 --video-every 0 --schedule.ratio 1
  --sync
""")


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_whose_goals_do_not_fit_is_refused_by_name(name: str):
  agent = build(name).agent
  with pytest.raises(ValueError, match=r"the observation 'goal/image'.*, and the environment shows"):
    Agent(agent, EnvSpec({"image": IMAGE, "event/contact": NUMBER}, ActionSpec(2)))
  other = ArraySpec((64, 64, 3), "uint8")
  with pytest.raises(
    ValueError, match=r"observation 'goal/image' is uint8 \[64, 64, 3\], and 'image' is uint8 \[48, 48"
  ):
    Agent(agent, EnvSpec({"image": IMAGE, "goal/image": other, "event/contact": NUMBER}, ActionSpec(2)))


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_goals_or_events_is_refused_at_the_start(
  name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  line = ["train", name, "--task", "dmc/cartpole_balance", "--logdir", str(tmp_path / "run")]
  assert cli.main(line) == 2
  assert UNSHOWN[name] in " ".join(capsys.readouterr().err.split())
  assert not (tmp_path / "run").exists()


def train(name: str, logdir: Path, env_steps: int) -> None:
  options = [*SMALL, *OF[name], *ONLINE, "--logdir", str(logdir), "--env-steps", str(env_steps)]
  assert cli.main(["train", name, *options]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_goes_on_to_the_bit_and_is_scored(name: str, tmp_path: Path):
  train(name, tmp_path / "whole", 300)
  train(name, tmp_path / "halves", 200)
  train(name, tmp_path / "halves", 300)
  whole, halves = (api.load_agent(tmp_path / each)[1] for each in ("whole", "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  rows = read_metrics(tmp_path / "whole" / "metrics.jsonl")
  assert rows[-1]["updates"] > 1
  scored = [row for row in rows if row.get("eval/return") is not None][-1]
  assert 0 <= scored["eval/return"] <= 1 and 0 <= scored["eval/log/distance"] < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_random_episodes_are_enough(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
  """Recorded, trained on, controlled, exported."""
  data, run, policy = tmp_path / "data", tmp_path / "run", tmp_path / "policy.bin"
  env = shlex.split("--task table/push --action-repeat 1 --image-size 48 --rendering fast")
  assert cli.main(["record", *env, "--num-envs", "2", "--episodes", "4", "--out", str(data)]) == 0
  options = [*SMALL, *OF[name], "--data", str(data), "--logdir", str(run), "--updates", "20", "--held-out", "0.25"]
  assert cli.main(["train-world-model", name, *options]) == 0
  capsys.readouterr()
  goal_control.main([str(run), "--decisions", "2", "--episodes", "10"])
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(":")[0].split()[-1] for line in lines] == [str(run), "random", "still"]
  assert cli.main(["export", str(run), "--out", str(policy), "--batch", "2", "--platforms", "cpu"]) == 0
  rng = np.random.default_rng(0)
  exported = dreamerax.load_exported(policy)
  shown = exported.header["spec"]["observation"]
  assert set(shown) == ({"image"} if name == "vice" else {"image", "goal/image"})  # examples are for learning alone
  action, _ = exported({each: rng.integers(0, 256, (2, *IMAGE.shape), np.uint8) for each in shown})
  assert action.shape == (2, 2) and np.abs(action).max() <= 1
