"""Images of floats are converted where that is asked for, and what looks like an image is told where it is not taken as one."""

import re

import gymnasium
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces

from dreamerax.envs import EnvConfig, Environment, make
from dreamerax.envs.faults import Breach, NotFinite
from dreamerax.envs.pictures import shown_as, suspicions
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.envs.suites.float_images import FloatImage
from dreamerax.envs.suites.gymnasium import GymEnv
from tests.contracts.environment import EnvironmentContract
from tests.envs import toys


class Screen(gymnasium.Env):
  """Shows numbers drawn from its space."""

  action_space = spaces.Discrete(2)

  def __init__(self, space: spaces.Space):
    self.observation_space = space

  def reset(self, *, seed=None, options=None):
    if seed is not None:
      self.observation_space.seed(seed)
    self.clock = 0
    return self.observation_space.sample(), {}

  def step(self, action):
    self.clock += 1
    return self.observation_space.sample(), 0.0, False, self.clock == 9, {}


def screen() -> gymnasium.Env:
  return Screen(spaces.Box(0, 1, (3, 12, 10), np.float32))


class TestFloatImages(EnvironmentContract):
  def make(self, seed: int) -> Environment:
    config = EnvConfig(
      "tests.envs.suites.test_float_images:screen", float_images=True, channels_first=True, image_size=8
    )
    return make(config, seed)

  def test_shape(self, env):
    assert {name: (array.shape, array.dtype) for name, array in env.spec.observation.items()} == {
      "image": ((8, 8, 3), "uint8")
    }


@pytest.mark.parametrize(
  ("low", "high", "value", "expected"),
  [(0, 1, 0.5, 128), (-1, 1, 0.0, 128), (0, 255, 255.0, 255), (-np.inf, np.inf, 1.0, 255), (-1, 1, -1.0, 0)],
)
def test_bounds_become_0_and_255(low: float, high: float, value: float, expected: int):
  image = FloatImage("eye", (9, 8, 1), np.full((9, 8, 1), low), np.full((9, 8, 1), high))
  assert (image(np.full((9, 8, 1), value)) == expected).all() and image(np.full((9, 8, 1), value)).dtype == np.uint8


@pytest.mark.parametrize(
  ("value", "kind", "problem"),
  [(1.2, Breach, r"from 1.2 to 1.2.*\[0, 1\]"), (np.nan, NotFinite, "not finite")],
)
def test_numbers_beyond_the_bounds_are_named(value: float, kind: type[Exception], problem: str):
  with pytest.raises(kind, match=f"'eye'.*{problem}"):
    FloatImage("eye", (8, 8), -np.inf, np.inf)(np.full((8, 8), value))


class DmScreen(toys.Corridor):
  def observation_spec(self):
    return {"eye": specs.BoundedArray((9, 8, 3), np.float64, -1, 1), "place": specs.Array((2,), np.float64)}

  def _observation(self):
    return {"eye": np.full((9, 8, 3), 1.0), "place": np.zeros(2)}


def test_a_dm_env_is_converted_too_and_vectors_stay():
  env = DmEnv(DmScreen(), name="screen", float_images=True)
  shown = env.reset().observation
  assert (shown["eye"] == 255).all() and shown["eye"].dtype == np.uint8 and shown["place"].dtype == np.float32


@pytest.mark.parametrize(
  ("task", "problem"),
  [
    ("gym/Pendulum-v1", "shows no arrays of floats that could be images"),
    ("dmc/walker_walk", "shows uint8 images already"),
    ("tests.envs.toys:counter", "let it show uint8"),
  ],
)
def test_the_option_is_refused_where_it_changes_nothing(task: str, problem: str):
  with pytest.raises(ValueError, match=f"float_images=True.*{problem}"):
    make(EnvConfig(task, float_images=True), 0)


def told(shape: tuple[int, ...], dtype: str, **settings) -> str:
  high = 255 if dtype == "uint8" else 1
  config = EnvConfig("a:b", **settings)
  env = GymEnv(
    Screen(spaces.Box(0, high, shape, np.dtype(dtype).type)), name="a:b", seed=0, float_images=config.float_images
  )
  return " ".join(str(each) for each in suspicions(shown_as(env, config, config.image_size), config))


@pytest.mark.parametrize(
  ("shape", "dtype", "settings", "expected"),
  [
    ((3, 32, 32), "float32", {}, "vector of 3,072 numbers: if it is an image, give --float-images --channels-first"),
    ((32, 32, 3), "float32", {}, "give --float-images."),
    ((84, 84), "float64", {}, "give --float-images."),
    ((3, 32, 32), "float32", {"float_images": True}, "3 pixels high with 32 channels: .* give --channels-first"),
    ((3, 64, 64), "uint8", {}, "give --channels-first"),
    ((3, 64, 64), "uint8", {"image_size": 64}, "give --channels-first"),
    ((64, 64, 3), "uint8", {"channels_first": True}, "leave --channels-first out"),
    ((4, 84, 84, 3), "uint8", {}, "vector of 84,672 numbers: if it is several images"),
  ],
)
def test_what_looks_like_an_image_is_told(shape: tuple[int, ...], dtype: str, settings: dict, expected: str):
  assert re.search(expected, told(shape, dtype, **settings))


@pytest.mark.parametrize(
  ("shape", "dtype", "settings"),
  [
    ((64, 64, 3), "uint8", {}),
    ((3, 64, 64), "uint8", {"channels_first": True}),
    ((3, 32, 32), "float32", {"float_images": True, "channels_first": True}),
    ((7, 7, 3), "uint8", {}),
    ((17,), "float32", {}),
    ((3, 3), "float32", {}),
    ((4, 4, 4), "float32", {}),
    ((64, 64, 12), "uint8", {}),
  ],
)
def test_what_is_taken_as_it_is_meant_is_not(shape: tuple[int, ...], dtype: str, settings: dict):
  assert told(shape, dtype, **settings) == ""
