"""An environment whose observations are partly hidden: stored like all others, and not what is filmed."""

from contextlib import closing

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, WorkerConfig, make, make_batch
from dreamerax.envs.base import Step
from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.collect.film import Film, picture
from dreamerax.types import ArraySpec, EnvSpec
from tests.contracts.environment import EnvironmentContract
from tests.envs.toys import Seeking


class TestSeeking(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig("tests.envs.toys:seeking", image_size=8), seed)


class Blind(Seeking):
  """Shows images of its goal alone, and draws itself for people."""

  @property
  def spec(self) -> EnvSpec:
    spec = super().spec
    return EnvSpec({name: array for name, array in spec.observation.items() if name != "image"}, spec.action)

  def _step(self, reward: float) -> Step:
    step = super()._step(reward)
    return step._replace(observation={name: step.observation[name] for name in self.spec.observation})

  def render(self) -> np.ndarray:
    return np.full((4, 4, 3), self.clock, np.uint8)


def blind(seed: int) -> Blind:
  return Blind(seed)


def test_a_goal_is_resized_as_what_it_is_a_goal_of():
  with closing(make(EnvConfig("tests.envs.toys:seeking", image_size=8), 0)) as env:
    shown = env.spec.observation
    assert shown["goal/image"] == shown["image"] and shown["image"].shape == (8, 8, 3)


def test_a_goal_is_filmed_beside_what_is_seen():
  with closing(make_batch(EnvConfig("tests.envs.toys:seeking", image_size=8), 2, 3, WorkerConfig(0))) as envs:
    row, film = envs.reset(), Film(envs)
    film.add(row)
    (frame,), _ = film.develop()
    image, goal = (np.broadcast_to(row.observation[name][0], (8, 8, 3)) for name in ("image", "goal/image"))
    assert frame.shape == (8, 18, 3) and not np.array_equal(image, goal)
    np.testing.assert_array_equal(frame, np.concatenate([image, np.full((8, 2, 3), 255), goal], 1))


class SmallGoal(Seeking):
  """Its goal is drawn in half the size."""

  @property
  def spec(self) -> EnvSpec:
    spec = super().spec
    return EnvSpec({**spec.observation, "goal/image": ArraySpec((8, 8, 3), "uint8")}, spec.action)

  def _step(self, reward: float) -> Step:
    step = super()._step(reward)
    return step._replace(observation={**step.observation, "goal/image": step.observation["goal/image"][::2, ::2]})


def test_a_goal_of_another_size_is_left_out_of_the_film():
  with closing(SerialEnvs([SmallGoal(0)], [0])) as envs:
    row, film = envs.reset(), Film(envs)
    film.add(row)
    np.testing.assert_array_equal(film.develop()[0][0], row.observation["image"][0])


@pytest.mark.parametrize("processes", [0, 2])
def test_a_goal_stays_for_an_episode_and_is_not_filmed(processes: int):
  config = EnvConfig("tests.envs.test_hidden:blind")
  with closing(make_batch(config, 2, 3, WorkerConfig(processes), film=True)) as envs:
    assert picture(envs.spec) is None
    film, rows = Film(envs), [envs.reset()]
    film.add(rows[0])
    goals = [np.array(rows[0].observation["goal/image"])]
    for _ in range(3):
      row = envs.step(np.ones((2, 2)))
      film.add(row)
      goals.append(np.array(row.observation["goal/image"]))
    assert all(np.array_equal(goal, goals[0]) for goal in goals) and not np.array_equal(goals[0][0], goals[0][1])
    np.testing.assert_array_equal(film.develop()[0][:, 0, 0, 0], range(4))
