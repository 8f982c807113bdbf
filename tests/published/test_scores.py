from dreamerax import envs, published
from dreamerax.published import METHODS, curve, scores, task_of


def test_every_row_is_of_a_known_method_and_task():
  suite = {task_of(name) for name in envs.task_names()}
  assert len(scores()) == 1126
  for score in scores():
    assert score.method in METHODS and score.task in suite
    assert score.env_steps > 0 and -0.1 <= score.mean <= 1000 and score.source
    assert (score.seeds is None) == (score.std is None)


def test_tasks_are_known_by_all_their_names():
  expected = curve("dreamerv3", "walker_walk")
  assert curve("dreamerv3", "dmc/walker_walk") == curve("dreamerv3", "dmc_walker_walk") == expected
  assert [score.env_steps for score in expected] == sorted({score.env_steps for score in expected})
  at_100k = next(score for score in expected if score.env_steps == 100_000)
  assert (at_100k.mean, at_100k.std, at_100k.seeds) == (601.7, 123.4, 10)
  assert task_of("dmc/cup_catch") == task_of("dmc_cup_catch") == task_of("ball_in_cup_catch") == "ball_in_cup_catch"
  assert curve("dreamerv2", "dmc/ball_in_cup_catch") and not curve("dreamerv3", "gym/Pendulum-v1")
  assert not curve("dreamerv3", "mjx/walker_walk")  # other pictures


def test_action_repeats_are_by_domain():
  assert METHODS["planet"].repeat_of("cartpole_swingup") == 8
  assert METHODS["planet"].repeat_of("ball_in_cup_catch") == 4
  assert METHODS["planet"].repeat_of("hopper_hop") is None
  assert METHODS["dreamerv3"].repeat_of("quadruped_run") == 2


def test_the_package_names_what_it_offers():
  assert all(hasattr(published, name) for name in published.__all__)
