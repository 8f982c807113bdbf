"""Images of any size, channel count and order come out as they were asked for, whichever suite shows them."""

from dataclasses import replace

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, Environment, Step, check_applies, make
from dreamerax.envs.base import checked_action
from dreamerax.envs.pictures import Conversion, Pictures, resize, shown_as, to_grey
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests.contracts.environment import EnvironmentContract


class Screens(Environment):
  """Images of several shapes and a vector, all random."""

  def __init__(self, seed: int, **shapes: tuple[int, int, int]):
    self._rng, self._shapes, self._clock = np.random.default_rng(seed), shapes, 20

  @property
  def spec(self) -> EnvSpec:
    images = {name: ArraySpec(shape, "uint8") for name, shape in self._shapes.items()}
    return EnvSpec({**images, "hand": ArraySpec((2,))}, ActionSpec(1))

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      self._rng = np.random.default_rng(seed)
    self._clock = 0
    return self._show(True)

  def step(self, action: np.ndarray) -> Step:
    if self._clock == 20:
      raise RuntimeError("call reset first")
    checked_action(action, self.spec.action, "screens")
    self._clock += 1
    return self._show(False)

  def _show(self, first: bool) -> Step:
    images = {name: self._rng.integers(0, 256, shape, np.uint8) for name, shape in self._shapes.items()}
    hand = self._rng.normal(size=2).astype(np.float32)
    return Step({**images, "hand": hand}, 0.0, first, self._clock == 20, False)


class TestPictures(EnvironmentContract):
  def make(self, seed: int) -> Environment:
    return Pictures(Screens(seed, eye=(48, 64, 3), map=(7, 7, 5)), Conversion(32, grey=False, channels_first=False))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("shape", [(7, 7), (32, 32), (480, 640), (84, 84)])
def test_any_size_and_channel_count_becomes_the_size_that_is_asked_for(shape: tuple[int, int], channels: int):
  env = shown_as(Screens(0, eye=(*shape, channels)), EnvConfig("a:b"), 64)
  image = env.reset(0).observation["eye"]
  assert image.shape == env.spec.observation["eye"].shape == (64, 64, channels)
  assert image.dtype == np.uint8


def test_shrinking_averages_areas():
  image = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
  expected = image.reshape(4, 3, 4, 5, 3).mean((1, 3))
  np.testing.assert_allclose(resize(image, 4), expected, atol=1)


def test_grey_is_the_luminance_of_three_colours_and_else_the_mean():
  assert to_grey(np.array([[[255, 0, 0], [0, 255, 0], [9, 9, 9]]], np.uint8)).tolist() == [[[76], [150], [9]]]
  assert to_grey(np.array([[[10, 20, 30, 40, 100]]], np.uint8)).tolist() == [[[40]]]


def test_channels_are_put_last():
  env = shown_as(Screens(0, eye=(3, 8, 6)), EnvConfig("a:b", channels_first=True), None)
  plain = Screens(0, eye=(3, 8, 6)).reset(5).observation["eye"]
  np.testing.assert_array_equal(env.reset(5).observation["eye"], plain.transpose(1, 2, 0))


def test_what_changes_nothing_wraps_nothing():
  env = Screens(0, eye=(32, 32, 3))
  assert shown_as(env, EnvConfig("a:b"), None) is env and shown_as(env, EnvConfig("a:b"), 32) is env


@pytest.mark.parametrize(("setting", "value"), [("grey", True), ("channels_first", True), ("image_size", 64)])
def test_a_setting_of_images_is_refused_where_there_are_none(setting: str, value: object):
  with pytest.raises(ValueError, match=f"{setting}={value}.*no images"):
    make(EnvConfig("gym/Pendulum-v1", **{setting: value}), 0)


@pytest.mark.parametrize("task", ["dmc/walker_walk", "atari/pong", "e2c/planar"])
def test_the_order_of_axes_is_refused_where_it_is_known(task: str):
  with pytest.raises(ValueError, match=r"channels_first=True.*\[height, width, channels\] already"):
    make(EnvConfig(task, channels_first=True), 0)


@pytest.mark.parametrize(("setting", "value"), [("rendering", "published"), ("observations", ("image",))])
def test_settings_of_drawing_are_refused_for_suites_that_do_not_draw(setting: str, value: object):
  config = EnvConfig("gym/Pendulum-v1", **{setting: value})
  with pytest.raises(ValueError, match=f"{setting}=.*dmc/.*leave --{setting} out"):
    check_applies(config, {"task", setting})
  check_applies(replace(config, task="dmc/walker_walk"), {setting})
  check_applies(config, {"task"})


def test_graphics_devices_are_refused_where_mujoco_does_not_draw():
  with pytest.raises(ValueError, match=r"workers\.gpus.*atari/pong"):
    check_applies(EnvConfig("atari/pong"), {"workers.gpus"})
  for task in ("dmc/walker_walk", "gym/Ant-v5", "a:b"):
    check_applies(EnvConfig(task), {"workers.gpus"})
