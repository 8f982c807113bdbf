"""Suites by name: each is deterministic where its package is there, and otherwise says what to install."""

import builtins
import shlex
from pathlib import Path

import numpy as np
import pytest

from dreamerax import cli
from dreamerax.envs import EnvConfig, Environment, make
from dreamerax.envs.suites import registry
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests.conftest import needs
from tests.contracts.environment import EnvironmentContract

# An agent that has every part in its smallest size.
TINY = shlex.split("""
  --num-envs 2 --prefill-steps 200 --eval-every 0 --video-every 0 --eval-episodes 0 --action-repeat 4
  --replay.batch-size 2 --replay.batch-length 8 --schedule.ratio 2 --image-size 64
  --agent.world-model.encoder.depth 2 --agent.world-model.objectives.reconstruction.decoder.depth 2
  --agent.world-model.objectives.reconstruction.decoder.units 8
  --agent.world-model.dynamics.deter 16 --agent.world-model.dynamics.hidden 8
  --agent.world-model.dynamics.stochastic.groups 2 --agent.world-model.dynamics.stochastic.classes 4
  --agent.behavior.horizon 3
""")


@needs("ale_py")
class TestAtari(EnvironmentContract):
  steps = 60

  def make(self, seed: int) -> Environment:
    return make(EnvConfig("atari/pong", action_repeat=4), seed)


@needs("crafter")
@pytest.mark.slow
class TestCrafter(EnvironmentContract):
  steps = 250  # creatures that die and are born make the order of sets matter

  def make(self, seed: int) -> Environment:
    return make(EnvConfig("crafter/reward"), seed)


@needs("minigrid")
class TestMinigrid(EnvironmentContract):
  steps = 40

  def make(self, seed: int) -> Environment:
    return make(EnvConfig("minigrid/MiniGrid-FourRooms-v0"), seed)


@needs("metaworld")
@pytest.mark.slow
class TestMetaWorld(EnvironmentContract):
  steps = 20

  def make(self, seed: int) -> Environment:
    return make(EnvConfig("metaworld/reach-v3", action_repeat=2), seed)


@needs("metaworld")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_episode_of_meta_world_ends_after_500_env_steps_and_tells_of_success():
  env = make(EnvConfig("metaworld/reach-v3", action_repeat=200, image_size=32), 0)
  assert env.reset().observation["image"].shape == (32, 32, 3)
  steps = [env.step(np.zeros(4, np.float32)) for _ in range(3)]
  assert [step.is_last for step in steps] == [False, False, True] and not any(step.is_terminal for step in steps)
  assert steps[0].reward > steps[2].reward > 0  # 200 env steps, and 100
  assert set(steps[-1].log) == {"success"}
  env.close()


@pytest.mark.slow
@pytest.mark.parametrize(
  "task",
  [
    pytest.param("atari/pong", marks=needs("ale_py")),
    pytest.param("crafter/reward", marks=needs("crafter")),
    pytest.param("minigrid/MiniGrid-Empty-5x5-v0", marks=needs("minigrid")),
    pytest.param("metaworld/reach-v3", marks=needs("metaworld")),
    pytest.param("mjx/cartpole_balance", marks=needs("mujoco_warp")),
  ],
)
def test_a_suite_trains(task: str, tmp_path: Path):
  options = ["--task", task, "--env-steps", "4000", "--logdir", str(tmp_path / "run"), *TINY]
  assert cli.main(["train", "dreamer-v3", *options]) == 0
  rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
  losses = [
    row["train/loss/reconstruction/image"] for row in rows if row.get("train/loss/reconstruction/image") is not None
  ]
  assert rows[-1]["env_steps"] >= 4000 and rows[-1]["updates"] > 50 and losses


@needs("ale_py")
def test_atari_counts_frames_as_env_steps_and_shows_64_pixels():
  env = make(EnvConfig("atari/breakout", action_repeat=4), 0)
  assert env.spec.observation["image"].shape == (64, 64, 3) and env.spec.action.size == 18
  env.close()


@pytest.mark.parametrize(
  ("task", "package", "extra"),
  [
    ("atari/pong", "ale_py", "atari"),
    ("crafter/reward", "crafter", "crafter"),
    ("minigrid/X", "minigrid", "minigrid"),
    ("metaworld/X", "metaworld", "metaworld"),
  ],
)
def test_a_missing_package_names_its_extra(task, package, extra, monkeypatch: pytest.MonkeyPatch):
  real = builtins.__import__

  def without(name, *args, **kwargs):
    if name.split(".")[0] == package:
      raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, *args, **kwargs)

  monkeypatch.setattr(builtins, "__import__", without)
  with pytest.raises(ValueError, match=f"{task}.*not installed: `make setup EXTRAS=dev,{extra}`"):
    registry.find(task).check(task)


@pytest.mark.parametrize(
  ("task", "nearest"),
  [
    pytest.param("atari/pongg", "atari/pong", marks=needs("ale_py")),
    ("crafter/rewards", "crafter/reward"),
    ("e2c/plane", "e2c/planar"),
    ("goal/reach", "goal/reacher"),
    ("table/pull", "table/push"),
    ("tasks/walk", "tasks/walker"),
    pytest.param("minigrid/MiniGrid-Emty-5x5-v0", "minigrid/MiniGrid-Empty-5x5-v0", marks=needs("minigrid")),
    pytest.param("metaworld/reach-v4", "metaworld/reach-v3", marks=needs("metaworld")),
  ],
)
def test_a_wrong_name_gets_the_nearest(task, nearest):
  with pytest.raises(ValueError, match=f"Did you mean .*{nearest}"):
    registry.find(task).check(task)


def test_graphics_devices_are_for_suites_that_mujoco_draws():
  for task in ("dmc/walker_walk", "goal/reacher", "metaworld/reach-v3", "gym/Ant-v5"):
    registry.check_applies(EnvConfig(task), {"workers.gpus"})
  for task in ("atari/pong", "crafter/reward", "minigrid/X", "e2c/planar"):
    with pytest.raises(ValueError, match=r"workers\.gpus is for what MuJoCo draws"):
      registry.check_applies(EnvConfig(task), {"workers.gpus"})
