"""VectorEnvs of gymnasium behind the batched interface: episodes told apart, hidden observations, what is refused."""

import numpy as np
import pytest

from dreamerax.envs import (
  EnvConfig,
  EnvironmentFault,
  WorkerConfig,
  check_applies,
  check_task,
  look_at,
  make,
  make_batch,
)
from dreamerax.envs.base import EnvBatch
from dreamerax.envs.suites import vector
from dreamerax.envs.suites.actions import random_actions
from dreamerax.envs.suites.spaces import Spaces
from dreamerax.envs.suites.vector_envs import VectorEnvs
from dreamerax.types import ActionSpec, ArraySpec, Transition
from tests.contracts.environment import EnvironmentContract
from tests.envs import vectors


def config(factory: str, **fields) -> EnvConfig:
  return EnvConfig(f"vector:tests.envs.vectors:{factory}", **fields)


class TestNextStep(EnvironmentContract):
  def make(self, seed):
    return make(config("walks"), seed)


class TestSameStep(EnvironmentContract):
  def make(self, seed):
    return make(config("same_step"), seed)


class TestArraysOfGymnasium(EnvironmentContract):
  steps = 60

  def make(self, seed):
    return make(config("cartpoles"), seed)


def batch(factory: str, num_envs: int, seed: int = 0, **fields) -> EnvBatch:
  """What `make_batch` makes, without the process in which it looks at one first."""
  return vector.make_batch(config(factory, **fields), num_envs, seed, skip_nonfinite=False, film=False)


def drive(envs: EnvBatch, steps: int, seed: int = 0) -> list[Transition]:
  rng = np.random.default_rng(seed)
  return [envs.step(random_actions(envs.spec.action, rng, envs.num_envs)) for _ in range(steps)]


def assert_equal(one: Transition, other: Transition) -> None:
  for name in one.observation:
    np.testing.assert_array_equal(one.observation[name], other.observation[name])
  for a, b in zip(one[1:], other[1:], strict=True):
    np.testing.assert_array_equal(a, b)


def test_names_shapes_hidden_observations_and_bounds():
  spec = look_at(config("walks"))
  assert spec.observation == {
    "place": ArraySpec((2,)),
    "image": ArraySpec((9, 8, 1), "uint8"),
    "event/near": ArraySpec((2,)),
  }
  assert spec.action == ActionSpec(2) and set(spec.visible) == {"place", "image"}
  envs = batch("walks", 3, image_size=16)
  assert envs.spec.observation["image"].shape == (16, 16, 1)
  assert envs.reset().observation["image"].shape == (3, 16, 16, 1)
  before = envs.reset().observation["place"]
  row = envs.step(np.ones((3, 2), np.float32))
  assert (row.observation["place"] - before).mean() > 1  # an action of 1 is the bound, 2


@pytest.mark.parametrize("factory", ["walks", "same_step"])
def test_each_environment_begins_its_episodes_and_limits_are_told_from_ends(factory: str):
  envs = batch(factory, 3, 0)
  rows = [envs.reset(), *drive(envs, 30)]
  first, last, terminal = (np.stack([getattr(row, name) for row in rows]) for name in Transition._fields[3:])
  assert first[0].all() and not (first & last).any()
  np.testing.assert_array_equal(first[1:], last[:-1])
  # Stream 0 ends by itself after two steps, stream 1 after three; the others have three steps' time.
  np.testing.assert_array_equal(terminal, last & [[True, True, False]])
  clocks = np.stack([row.observation["image"][:, 0, 0, 0] for row in rows])
  np.testing.assert_array_equal(clocks[last[:, 0], 0], 2)
  np.testing.assert_array_equal(clocks[last[:, 2], 2], 3)
  for row in rows:
    assert not row.action[row.is_first].any() and not row.reward[row.is_first].any()
    np.testing.assert_allclose(row.reward[~row.is_first], row.observation["place"][~row.is_first, 0], rtol=1e-6)
  begun = clocks[first].tolist()
  assert set(begun) == ({0} if factory == "walks" else {0, 1})  # SAME_STEP: one step is taken, while the others go on


def test_where_all_end_at_once_no_step_is_lost_in_same_step():
  envs = batch("galleries", 2, 0)
  rows = [envs.reset(), *drive(envs, 11)]
  assert [bool(row.is_first.all()) for row in rows] == [i % 4 == 0 for i in range(12)]
  sampled = [row.observation["camera"] for row in rows]  # every step draws another picture, and none is shown twice
  assert len({array[i].tobytes() for array in sampled for i in range(2)}) == 24


def test_a_batch_is_the_single_environments_that_it_is_made_of():
  alone, both = batch("galleries", 1, 5), batch("galleries", 2, 5)
  rows = [alone.reset(), both.reset()]
  for name in alone.spec.observation:
    np.testing.assert_array_equal(rows[0].observation[name][0], rows[1].observation[name][0])
  assert both.spec.action == ActionSpec(4, discrete=True)


def test_numbers_of_its_own_are_told_for_each_episode():
  envs = batch("telling", 2)
  envs.reset()
  drive(envs, 3)
  assert envs.ended == {0: {"clock": 2.0, "success": 1.0}, 1: {"clock": 2.0, "success": 1.0}}
  envs = batch("same_step", 3, 0)
  envs.reset()
  ended = []
  for _ in range(3):
    drive(envs, 1)
    ended.append(dict(envs.ended))
  assert ended == [{}, {0: {"clock": 1.5}}, {1: {"clock": 2.0}, 2: {"clock": 2.0}}]


def test_it_draws_itself_where_it_is_made_to():
  envs = batch("telling", 2)
  with pytest.raises(ValueError, match="render_mode is None"):
    envs.render(0)
  native = vectors.walks(2, render_mode="rgb_array")
  spaces = Spaces(native.single_observation_space, native.single_action_space, name="walks", float_images=False)
  envs = VectorEnvs(native, spaces, 0, name="walks")
  envs.reset()
  drive(envs, 1)
  np.testing.assert_array_equal(envs.render(1), np.ones((6, 8, 3)))


@pytest.mark.parametrize("factory", ["saved", "saved_same_step"])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
def test_one_that_can_be_saved_goes_on_to_the_bit(factory: str, steps: int):
  envs = batch(factory, 3, 0)
  newest = [envs.reset(), *drive(envs, steps)][-1]
  state, episodes = envs.state(), envs.episodes()
  assert state is not None and not envs.forgets
  twin = batch(factory, 3, 0)
  twin.restore(state, episodes, newest)
  for one, other in zip(drive(envs, 8, seed=1), drive(twin, 8, seed=1), strict=True):
    assert_equal(one, other)
    assert envs.ended == twin.ended


def test_one_that_cannot_be_saved_says_which_episodes_are_lost_and_begins_others():
  envs = batch("walks", 3, 0)
  began = envs.reset()
  newest = drive(envs, 2)[-1]
  twin = batch("walks", 3, 0)
  assert envs.state() is None and envs.forgets
  np.testing.assert_array_equal(twin.resume(envs.episodes(), newest), ~newest.is_last)
  row = drive(twin, 1)[0]
  assert row.is_first.all() and not np.array_equal(row.observation["place"], began.observation["place"])


@pytest.mark.parametrize(
  ("factory", "said"),
  [
    ("disabled", r"metadata\['autoreset_mode'\] is AutoresetMode.DISABLED.*NEXT_STEP"),
    ("fewer", "returned 2 environments; it was asked for 1"),
    ("single", "the factory returned Gallery; return a gymnasium.vector.VectorEnv"),
    ("broken", "the factory raised OSError: no license left"),
    ("without", "takes num_envs and returns"),
    ("nothing", "has no function 'nothing'"),
  ],
)
def test_what_is_no_vector_env_is_refused_in_a_line(factory: str, said: str):
  with pytest.raises(ValueError, match=said):
    make(config(factory), 0)


def test_settings_that_do_not_apply_are_refused_by_name():
  with pytest.raises(ValueError, match=r"action_repeat=2: .* give --action-repeat 1"):
    make_batch(config("walks", action_repeat=2), 2, 0)
  with pytest.raises(ValueError, match=r"nonfinite='skip': .* give --nonfinite stop"):
    make_batch(config("walks"), 2, 0, skip_nonfinite=True)
  for name in ("workers.count", "workers.timeout", "workers.gpus"):
    with pytest.raises(ValueError, match=f"{name} is for environments that step in worker processes"):
      check_applies(config("walks"), {name})
  with pytest.raises(ValueError, match="cannot import 'nowhere'"):
    check_task("vector:nowhere:make")
  make_batch(config("walks"), 2, 0, WorkerConfig())  # the defaults of a run


def test_a_module_may_be_called_as_a_kind_is():
  with pytest.raises(ValueError, match="task='vector:make': cannot import 'vector'"):
    check_task("vector:make")


@pytest.mark.parametrize(
  ("spoil", "said"),
  [
    (lambda o, r, t: (o, r * np.nan, t), "the reward of environment 0 has a number that is not finite"),
    (lambda o, r, t: ({**o, "place": o["place"] * np.inf}, r, t), "observation 'place' of environment 0"),
    (lambda o, r, t: ({**o, "place": o["place"][:1]}, r, t), r"observation 'place' is float64 \[1, 2\]"),
    (lambda o, r, t: ({"image": o["image"]}, r, t), "observation 'event/near' is missing"),
    (lambda o, r, t: (o, r[:1], t), r"step gave rewards \[1\]: return \[2\]"),
    (lambda o, r, t: (o, r, t.astype(int)), r"terminations is int64 \[2\]: return bool \[2\]"),
    (lambda o, r, t: 1 / 0, "raised ZeroDivisionError"),
  ],
)
def test_a_wrong_answer_ends_the_run_in_a_line(spoil, said: str):
  native = vectors.spoilt(spoil)
  spaces = Spaces(native.single_observation_space, native.single_action_space, name="spoilt", float_images=False)
  envs = VectorEnvs(native, spaces, 0, name="spoilt")
  envs.reset()
  drive(envs, 3)
  with pytest.raises(EnvironmentFault, match=said):
    drive(envs, 1)


def test_an_end_in_the_last_step_needs_what_it_showed():
  envs = batch("silent", 2)
  envs.reset()
  with pytest.raises(EnvironmentFault, match=r"infos\['final_obs'\] is missing: .*NEXT_STEP"):
    drive(envs, 3)
