"""Presets that plan to a goal image: what they are refused for, and a run through the command line."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

import dreamerax
from dreamerax import api, cli
from dreamerax.agent import Agent
from dreamerax.envs.suites.poles import Pendulum
from dreamerax.presets import build
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

WIDTHS = {
  "spatial-autoencoder": "--agent.world-model.encoder.depths 4 16",
  "pc3-points": "--agent.world-model.encoder.depths 4 4",
}
IMAGE = ArraySpec((40, 40, 1), "uint8")
NAMES = ("embed-to-control", "pc3", "pc3-points", "spatial-autoencoder")
SMALL = shlex.split("""
  --task e2c/planar --num-envs 2 --workers.count 0 --prefill-steps 100 --log-every 0.5 --eval-episodes 2 --eval-every 0
  --video-every 0 --sync --replay.capacity 2000 --replay.batch-size 2 --schedule.updates 1 --schedule.every 20
  --agent.behavior.inner.planner.horizon 2 --agent.behavior.inner.planner.candidates 4
""")


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_without_a_goal_or_with_choices_is_refused(name: str):
  agent = build(name).agent
  with pytest.raises(
    ValueError, match=r"agent\.behavior needs the observation 'goal/image', and the environment shows im"
  ):
    Agent(agent, EnvSpec({"image": IMAGE}, ActionSpec(2)))
  with pytest.raises(ValueError, match="planners search continuous actions: choose an actor-critic for discrete ones"):
    Agent(agent, EnvSpec({"image": IMAGE, "goal/image": IMAGE}, ActionSpec(9, discrete=True)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
  ("task", "why"),
  [
    ("dmc/cartpole_balance", "give --no-exploring-starts"),
    ("dmc/cartpole_balance --no-exploring-starts", "agent.behavior needs the observation 'goal/image'"),
    ("e2c/planar_moves", "planners search continuous actions"),
  ],
)
def test_a_task_that_does_not_fit_is_refused_at_the_start(
  name: str, task: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
  logdir = tmp_path / "run"
  assert cli.main(["train", name, "--task", *task.split(), "--logdir", str(logdir)]) == 2
  assert why in " ".join(capsys.readouterr().err.split())
  assert not logdir.exists()


def folding(name: str, seed: int) -> float:
  """Rank correlation of a resting pendulum's angle from upright with its distance to upright, in a new latent."""
  image = ArraySpec((48, 48, 2), "uint8")
  agent = Agent(build(name).agent, EnvSpec({"image": image, "goal/image": image}, ActionSpec(1)))
  world, _ = agent.modules(agent.policy_params(agent.init(jax.random.key(seed))))
  angles, pendulum = np.linspace(-np.pi, np.pi, 61), Pendulum()
  images = np.stack([np.stack([pendulum.draw(np.array([angle, 0.0]))] * 2, -1) for angle in [*angles, 0.0]])
  key = jax.random.key(0)
  states = np.asarray(world.glance(world.encode({"image": images}, key), key))
  return float(stats.spearmanr(abs(angles), np.linalg.norm(states[:-1] - states[-1], axis=-1))[0])


def test_a_new_latent_of_points_unfolds_the_circle_of_angles():
  assert np.mean([folding("pc3-points", seed) for seed in range(5)]) > 0.6
  assert np.mean([folding("pc3", seed) for seed in range(5)]) < 0.4


def train(name: str, logdir: Path, env_steps: int) -> None:
  width = WIDTHS.get(name, "--agent.world-model.encoder.units 8").split()
  assert cli.main(["train", name, "--logdir", str(logdir), *SMALL, *width, "--env-steps", str(env_steps)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_goes_on_to_the_bit_and_is_scored(name: str, tmp_path: Path):
  train(name, tmp_path / "whole", 300)
  train(name, tmp_path / "halves", 200)
  train(name, tmp_path / "halves", 300)
  whole, halves = (api.load_agent(tmp_path / each)[1] for each in ("whole", "halves"))
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  assert read_metrics(tmp_path / "whole" / "metrics.jsonl")[-1]["updates"] > 1
  assert cli.main(["eval", str(tmp_path / "whole"), "--episodes", "2"]) == 0
  rng = np.random.default_rng(0)
  observation = {name: rng.integers(0, 256, (3, *IMAGE.shape), np.uint8) for name in ("image", "goal/image")}
  action, _ = dreamerax.load_policy(tmp_path / "whole")(observation)
  assert action.shape == (3, 2) and np.abs(action).max() <= 1
