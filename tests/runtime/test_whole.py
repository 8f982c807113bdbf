"""Runs whose environments step together in one call: they go on to the bit where these can be saved, and say where not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from dreamerax.envs.base import EnvBatch
from dreamerax.envs.suites.spaces import Spaces
from dreamerax.envs.suites.vector_envs import VectorEnvs
from dreamerax.jitted import ArrayEnv, Outcome
from dreamerax.jitted.batch import ArrayEnvs
from dreamerax.runtime.checkpoint.checkpoints import load_state
from dreamerax.types import ActionSpec
from tests.conftest import cpu_devices
from tests.runtime.test_resume import what_is_left
from tests.runtime.toys import SPEC, Regression, run


class FollowAll(VectorEnv):
  """What `Follow` shows and pays, of several with clocks that differ; all that is random follows from one number."""

  single_observation_space = spaces.Dict(
    {"image": spaces.Box(0, 255, (4, 4, 3), np.uint8), "x": spaces.Box(-1, 1, (1,))}
  )
  single_action_space = spaces.Box(-1, 1, (1,))

  def __init__(self, num_envs: int):
    self.num_envs, self.metadata = num_envs, {"autoreset_mode": AutoresetMode.NEXT_STEP}
    self.lengths = 7 + np.arange(num_envs)

  def reset(self, *, seed=None, options=None):
    self.draws, self.clock = seed, np.zeros(self.num_envs, int)
    return self._shown(), {}

  def step(self, actions):
    rewards = 1 - (actions[:, 0] - self.x) ** 2
    begun = self.clock == self.lengths
    self.clock = np.where(begun, 0, self.clock + 1)
    nothing = np.zeros(self.num_envs, bool)
    return self._shown(), np.where(begun, 0, rewards), nothing, self.clock == self.lengths, {"log/x": self.x}

  def _shown(self):
    self.draws += 1
    self.x = np.random.default_rng(self.draws).uniform(-0.9, 0.9, self.num_envs)
    image = np.broadcast_to(self.clock[:, None, None, None], (self.num_envs, 4, 4, 3)).astype(np.uint8)
    return {"image": image, "x": self.x[:, None].astype(np.float32)}


class Saved(FollowAll):
  def checkpoint(self):
    return {"draws": np.array(self.draws), "clock": self.clock, "x": self.x}

  def restore(self, arrays):
    self.draws, self.clock, self.x = int(arrays["draws"]), arrays["clock"].copy(), arrays["x"].copy()


def vector_envs(kind: type[FollowAll]) -> Callable[..., EnvBatch]:
  def make(num_envs: int, seed: int, *, film: bool = False) -> EnvBatch:
    native = kind(num_envs)
    spaces = Spaces(native.single_observation_space, native.single_action_space, name="follow", float_images=False)
    return VectorEnvs(native, spaces, seed, name="follow")

  return make


class FollowProgram(ArrayEnv):
  """What `Follow` shows and pays, as an array program."""

  max_steps = 7

  @property
  def action(self) -> ActionSpec:
    return SPEC.action

  def reset(self, key):
    return {"key": key, "x": jax.random.uniform(key, (1,), minval=-0.9, maxval=0.9)}

  def step(self, state, action):
    reward = 1 - jnp.square(action - state["x"])[0]
    return self.reset(jax.random.split(state["key"])[0]), Outcome(reward, jnp.array(False), {"x": state["x"][0]})

  def observe(self, state):
    return {"image": jnp.zeros((4, 4, 3), jnp.uint8), "x": state["x"]}


PROGRAM = FollowProgram()


def array_envs(num_envs: int, seed: int, *, film: bool = False) -> EnvBatch:
  return ArrayEnvs(PROGRAM, num_envs, seed % 2**32, name="follow")


MAKERS = {"vector": vector_envs(Saved), "jit": array_envs}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_run_goes_on_to_the_bit(kind: str, tmp_path: Path):
  for folder, moments in ((tmp_path / "whole", [600]), (tmp_path / "halves", [500, 600])):
    for env_steps in moments:
      run(folder, env_steps=env_steps, make_envs=MAKERS[kind], sync=True, eval_every=0, video_every=0)
  (state, lines), (state_whole, lines_whole) = (what_is_left(tmp_path / name) for name in ("halves", "whole"))
  for array, expected in zip(state, state_whole, strict=True):
    np.testing.assert_array_equal(array, expected)
  scored = ("episode/return", "episode/log/x")  # there is an evaluation at the end of each part
  episodes = [[[row[name] for name in scored] for row in each if scored[0] in row] for each in (lines, lines_whole)]
  assert len(episodes[0]) > 20 and episodes[0] == episodes[1]


TWO_DEVICES = """
import sys
from pathlib import Path

import jax

from dreamerax.runtime.settings import MeshConfig
from tests.runtime.test_whole import array_envs
from tests.runtime.toys import run

made = []


def make(*arguments, **options):
  made.append(array_envs(*arguments, **options))
  return made[-1]


run(Path(sys.argv[1]), env_steps=300, make_envs=make, eval_every=200, video_every=0, mesh=MeshConfig(data=1, policy=1))
print(len(made), {device.id for envs in made for array in envs._newest.values() for device in array.devices()})
"""


def test_on_the_cpu_a_program_runs_where_the_policy_acts(tmp_path: Path):
  """On the device that learns, each step would wait for an update."""
  command = [sys.executable, "-c", TWO_DEVICES, str(tmp_path / "run")]
  done = subprocess.run(command, env={**os.environ, **cpu_devices(2)}, capture_output=True, text=True, check=False)
  assert done.stdout.splitlines()[-1:] == ["3 {1}"], done.stderr[-2000:]


def test_environments_that_cannot_be_saved_are_told_of_and_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture):
  options = {"make_envs": vector_envs(FollowAll), "eval_every": 0, "video_every": 0}
  with pytest.raises(ValueError, match=r"sync=True: .*task='follow' cannot be saved: give them checkpoint\(\)"):
    run(tmp_path / "sync", env_steps=500, sync=True, **options)
  for env_steps in (500, 900):
    run(tmp_path / "run", env_steps=env_steps, **options)
  said = capsys.readouterr().out
  assert "the environments cannot be saved" in said and "4 episodes that had begun could not be brought back" in said
  state, _ = load_state(tmp_path / "run", Regression())
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
