import pytest

from dreamerax import envs, published
from dreamerax.envs.suites import e2c
from dreamerax.published import METHODS, curve, scores, task_of

E2C = {"planar": 0.7435, "balance": 0.991, "swingup": 0.584, "cartpole": 0.963}  # PC3, Shu et al. 2020


def test_every_row_is_of_a_known_method_and_task():
  suite = {task_of(name) for name in (*envs.task_names(), *e2c.names())}
  assert len(scores()) == 1138
  for score in scores():
    assert score.method in METHODS and score.task in suite
    assert score.env_steps > 0 and -0.1 <= score.mean <= METHODS[score.method].highest_of(score.task) and score.source
    assert score.std is None or score.seeds is not None


def test_tasks_are_known_by_all_their_names():
  expected = curve("dreamerv3", "walker_walk")
  assert curve("dreamerv3", "dmc/walker_walk") == curve("dreamerv3", "dmc_walker_walk") == expected
  assert [score.env_steps for score in expected] == sorted({score.env_steps for score in expected})
  at_100k = next(score for score in expected if score.env_steps == 100_000)
  assert (at_100k.mean, at_100k.std, at_100k.seeds) == (601.7, 123.4, 10)
  assert task_of("dmc/cup_catch") == task_of("dmc_cup_catch") == task_of("ball_in_cup_catch") == "ball_in_cup_catch"
  assert curve("dreamerv2", "dmc/ball_in_cup_catch") and not curve("dreamerv3", "gym/Pendulum-v1")
  assert not curve("dreamerv3", "mjx/walker_walk")  # other pictures


def test_shares_of_steps_in_the_goal_are_returns():
  shares = {name: curve("pc3", f"e2c/{name}")[0].mean / METHODS["pc3"].highest_of(f"e2c/{name}") for name in E2C}
  assert shares == pytest.approx(E2C)


def test_action_repeats_are_by_domain():
  assert METHODS["planet"].repeat_of("cartpole_swingup") == 8
  assert METHODS["planet"].repeat_of("ball_in_cup_catch") == 4
  assert METHODS["planet"].repeat_of("hopper_hop") is None
  assert METHODS["dreamerv3"].repeat_of("quadruped_run") == 2


def test_the_package_names_what_it_offers():
  assert all(hasattr(published, name) for name in published.__all__)
