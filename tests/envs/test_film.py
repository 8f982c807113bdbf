"""Environments without images are drawn for people: by their own render, wherever they step, and only where one asks."""

from contextlib import closing

import gymnasium
import numpy as np
import pytest

from dreamerax.envs import EnvConfig, WorkerConfig, make, make_batch
from dreamerax.envs.base import EnvBatch
from dreamerax.envs.faults import NoPicture
from dreamerax.envs.film import frame
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.envs.suites.gymnasium import GymEnv
from tests.envs import toys

STILL = np.zeros((3, 2))


def batch(toy: str, processes: int, **options) -> EnvBatch:
  return make_batch(EnvConfig(f"tests.envs.toys:{toy}", **options), 3, 7, WorkerConfig(processes), film=True)


@pytest.mark.parametrize("processes", [0, 2])
def test_a_row_is_drawn_as_it_was_received(processes: int):
  with closing(batch("painted", processes, action_repeat=2)) as envs:
    envs.reset()
    clocks = [envs.render(1)[0, 0, 0]]
    for _ in range(2):
      envs.step(STILL)
      clocks.append(envs.render(1)[0, 0, 0])
    assert clocks == [0, 2, 4] and envs.render(2).shape == (6, 8, 3)
    assert envs.step(STILL).is_first.all() and envs.render(0)[0, 0, 0] == 0


@pytest.mark.parametrize("processes", [0, 2])
def test_one_that_cannot_be_drawn_steps_on(processes: int):
  with closing(batch("unpaintable", processes)) as envs:
    envs.reset()
    for _ in range(3):
      envs.step(STILL)
    with pytest.raises(NoPicture, match=r"render\(\) raised OSError: the ink is dry .*toys.py, line"):
      envs.render(0)
    assert envs.step(STILL).is_last.all() and not envs.faults


def test_one_that_takes_its_process_with_it_is_replaced(caplog: pytest.LogCaptureFixture):
  with closing(batch("explosive", 2)) as envs:
    envs.reset()
    with pytest.raises(NoPicture, match="its process failed while it was drawn"):
      envs.render(1)
    assert envs.step(STILL).is_last.tolist() == [False, True, False]
    assert envs.step(STILL).is_first.tolist() == [False, True, False]


@pytest.mark.parametrize("film", [False, True])
def test_a_factory_is_told_whether_it_is_filmed(film: bool):
  env = make(EnvConfig("tests.envs.toys:GymPainted"), 0, film=film)
  env.reset()
  if film:
    assert frame(env).shape == (256, 384, 3) and (frame(env) == 7).all()
    return
  with pytest.raises(NoPicture, match="render_mode"):
    frame(env)


def test_a_registered_environment_is_made_to_draw_itself_where_it_can():
  gymnasium.register("Painted-v0", toys.GymPainted)
  gymnasium.register("Telling-v0", toys.GymTelling)
  try:
    for film, works in ((True, True), (False, False)):
      env = make(EnvConfig("gym/Painted-v0"), 0, film=film)
      env.reset()
      if works:
        assert (frame(env) == 7).all()
      else:
        with pytest.raises(NoPicture):
          frame(env)
    blind = make(EnvConfig("gym/Telling-v0"), 0, film=True)
    blind.reset()
    with pytest.raises(NoPicture, match="render"):
      frame(blind)
  finally:
    for name in ("Painted-v0", "Telling-v0"):
      del gymnasium.registry[name]


def test_vectors_of_the_suite_are_filmed_by_its_camera():
  env = make(EnvConfig("dmc/cartpole_balance", observations=("position",), image_size=32), 0)
  env.reset()
  picture = frame(env)
  assert list(env.spec.observation) == ["position"] and picture.shape == (32, 32, 3) and picture.std() > 10


class Drawn(toys.Corridor):
  def render(self):
    return np.full((5, 5, 4), 9, np.uint8)


def test_a_dm_env_draws_itself_where_it_has_a_way_to():
  env = DmEnv(Drawn(), name="drawn")
  env.reset()
  assert frame(env).shape == (5, 5, 3)
  with pytest.raises(NoPicture, match="add a render"):
    frame(DmEnv(toys.Corridor(), name="corridor"))


@pytest.mark.parametrize("given", [None, "....", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_picture_is_told(given: object):
  class Odd(toys.GymPainted):
    def render(self):
      return given

  env = GymEnv(Odd("rgb_array"), name="odd", seed=0)
  with pytest.raises(NoPicture, match=r"render\(\) gave .*: let it return uint8"):
    frame(env)
